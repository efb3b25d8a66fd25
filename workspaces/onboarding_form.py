"""The sign-up form of the web: allauth's, with fields for the team and its first workspace."""

from typing import Any, cast

from allauth.account.forms import SignupForm
from allauth.core import context
from django import forms
from django.contrib import messages
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from accounts.models import User
from accounts.teams.limits import expect_network
from accounts.teams.pages.invitation_acceptance import is_joining
from kit.errors import RateLimited
from kit.inputs import form_field
from workspaces.inputs import SignUp
from workspaces.onboarding import open_tenant, rehearse_sign_up


class SignUpForm(SignupForm):
    name = form_field(
        SignUp, "name", label="Your name", widget=forms.TextInput(attrs={"autocomplete": "name"})
    )
    tenant_name = form_field(SignUp, "tenant_name", label="Your team")
    workspace_name = form_field(SignUp, "workspace_name", label="First workspace")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.is_joining = is_joining(context.request)
        if self.is_joining:  # they join a present workspace
            del self.fields["tenant_name"], self.fields["workspace_name"]

    def clean(self) -> dict[str, Any]:
        """Checks the limit before the address is looked up, so that a refusal does not reveal an account."""
        if not self.is_joining:
            try:
                expect_network()
            except RateLimited as refusal:
                raise forms.ValidationError(refusal.text) from refusal
        cleaned: dict[str, Any] = super().clean()
        return cleaned

    field_order = ("name", "email", "password1", "tenant_name", "workspace_name")

    def try_save(self, request: HttpRequest) -> tuple[User | None, HttpResponse | None]:
        """allauth's hook around `save`. Of two concurrent sign-ups of one address one is sent to sign in."""
        if self.account_already_exists:  # allauth hides this, so the time must not reveal it
            self._rehearse()
        try:
            with transaction.atomic():
                saved: tuple[User | None, HttpResponse | None] = super().try_save(request)
        except IntegrityError:
            messages.error(request, "An account with this email already exists. Sign in instead.")
            return None, redirect("account_login")
        return saved

    def _rehearse(self) -> None:
        team = {"tenant_name": self.cleaned_data.get("tenant_name", ""), "workspace_name": ""}
        if not self.is_joining:
            rehearse_sign_up(password=self.cleaned_data["password1"], name=self.cleaned_data["name"], **team)

    def save(self, request: HttpRequest) -> User:
        with transaction.atomic():
            user = cast("User", super().save(request))
            if self.is_joining:
                return user
            open_tenant(
                owner=user,
                tenant_name=self.cleaned_data["tenant_name"],
                workspace_name=self.cleaned_data["workspace_name"],
            )
        return user
