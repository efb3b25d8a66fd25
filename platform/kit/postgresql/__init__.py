"""The database backend: django-tenants' own, whose requests fail in a moment while PostgreSQL is away."""
