"""Django admin, for the platform's operators: people, tenants, workspaces, who belongs where, the audit.

The apps above build on `audited`, `lists` and `tenancy`.
"""

from allauth.account import admin as allauth_admin
from allauth.account.models import EmailAddress
from django.contrib import admin
from django.contrib.auth import admin as auth_admin
from django.contrib.auth.models import Group
from rest_framework_simplejwt.token_blacklist import admin as token_admin
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken

from accounts.admin import entries, members, places, users

# The imports above register these. Their admins would show refresh tokens in clear, or change sign-in
# addresses and rights past the audit.
admin.site.unregister([Group, EmailAddress, OutstandingToken, BlacklistedToken])

admin.site.site_header = admin.site.site_title = "Switchyard operators"

__all__ = ["allauth_admin", "auth_admin", "entries", "members", "places", "token_admin", "users"]
