"""Django admin, for the platform's operators: users, tenants, workspaces, members, the audit.

The apps above build on `audited`, `lists` and `tenancy`.
"""

from allauth.account import admin as allauth_admin
from allauth.account.models import EmailAddress
from allauth.mfa import admin as mfa_admin
from allauth.mfa.models import Authenticator
from allauth.socialaccount import admin as social_admin
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from allauth.usersessions import admin as sessions_admin
from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.contrib.auth import admin as auth_admin
from django.contrib.auth.models import Group
from rest_framework_simplejwt.token_blacklist import admin as token_admin
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken

from accounts.admin import entries, mail, members, tenants, users

# The imports above register these. Their admins would show sessions' keys and refresh tokens in clear, or
# change sign-in addresses, second steps and rights past the audit.
admin.site.unregister([Group, EmailAddress, OutstandingToken, BlacklistedToken])
admin.site.unregister([Authenticator, UserSession, SocialAccount, SocialApp, SocialToken])

admin.site.site_header = admin.site.site_title = "Switchyard operators"

__all__ = [
    "allauth_admin",
    "auth_admin",
    "entries",
    "mail",
    "members",
    "mfa_admin",
    "sessions_admin",
    "social_admin",
    "tenants",
    "token_admin",
    "users",
]
