"""Registers the admin pages of every kind, for the tenant that an operator has opened."""

from django.contrib import admin

from workspaces.kinds import KINDS

for kind in KINDS:
    for model, model_admin in kind.admin.items():
        admin.site.register(model, model_admin)
