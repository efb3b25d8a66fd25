"""Django's admin app with our own site."""

from django.contrib.admin.apps import AdminConfig


class OperatorAdminConfig(AdminConfig):
    default_site = "accounts.sign_in.operator_site.OperatorSite"
