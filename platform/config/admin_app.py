"""Django's admin as an app, with our own site in it."""

from django.contrib.admin.apps import AdminConfig


class OperatorAdminConfig(AdminConfig):
    default_site = "accounts.sign_in.operator_site.OperatorSite"
