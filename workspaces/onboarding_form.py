"""The web's sign-up form: allauth's, with the team and its first workspace."""

from typing import cast

from allauth.account.forms import SignupForm
from django import forms
from django.db import transaction
from django.http import HttpRequest

from accounts.models import User
from workspaces.onboarding import FIRST_WORKSPACE, open_place


class SignUpForm(SignupForm):
    name = forms.CharField(
        label="Your name", max_length=100, widget=forms.TextInput(attrs={"autocomplete": "name"})
    )
    tenant_name = forms.CharField(label="Your team", max_length=100)
    workspace_name = forms.CharField(
        label="First workspace", max_length=100, required=False, initial=FIRST_WORKSPACE
    )
    field_order = ("name", "email", "password1", "tenant_name", "workspace_name")

    def save(self, request: HttpRequest) -> User:
        with transaction.atomic():
            user = cast("User", super().save(request))
            open_place(
                owner=user,
                tenant_name=self.cleaned_data["tenant_name"],
                workspace_name=self.cleaned_data["workspace_name"],
            )
        return user
