"""Registers what operators see of the kinds in the tenant that they have opened."""

from django.contrib import admin

from workspaces.kinds import KINDS

for kind in KINDS:
    for model, model_admin in kind.admin.items():
        admin.site.register(model, model_admin)
