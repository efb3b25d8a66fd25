"""The database backend: django-tenants', with quick failures during outages and few SET search_path."""
