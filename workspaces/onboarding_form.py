"""The web's sign-up form: allauth's, with the team and its first workspace."""

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
from workspaces.onboarding import FIRST_WORKSPACE, open_place, rehearse_sign_up


class SignUpForm(SignupForm):
    name = forms.CharField(
        label="Your name", max_length=100, widget=forms.TextInput(attrs={"autocomplete": "name"})
    )
    tenant_name = forms.CharField(label="Your team", max_length=100)
    workspace_name = forms.CharField(
        label="First workspace", max_length=100, required=False, initial=FIRST_WORKSPACE
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.is_joining = is_joining(context.request)
        if self.is_joining:  # they come to somebody's workspace
            del self.fields["tenant_name"], self.fields["workspace_name"]

    def clean(self) -> dict[str, Any]:
        """Before the address is looked for, so that a refusal says nothing about it."""
        if not self.is_joining:
            try:
                expect_network()
            except RateLimited as refusal:
                raise forms.ValidationError(refusal.text) from refusal
        cleaned: dict[str, Any] = super().clean()
        return cleaned

    field_order = ("name", "email", "password1", "tenant_name", "workspace_name")

    def try_save(self, request: HttpRequest) -> tuple[User | None, HttpResponse | None]:
        """allauth's hook around `save`: of two concurrent sign-ups of one address, one is led to sign in."""
        if self.account_already_exists:  # and allauth hides it: then the time that it takes must not tell
            self._rehearse()
        try:
            with transaction.atomic():
                saved: tuple[User | None, HttpResponse | None] = super().try_save(request)
        except IntegrityError:
            messages.error(request, "An account with this email already exists. Sign in instead.")
            return None, redirect("account_login")
        return saved

    def _rehearse(self) -> None:
        place = {"tenant_name": self.cleaned_data.get("tenant_name", ""), "workspace_name": ""}
        if not self.is_joining:
            rehearse_sign_up(password=self.cleaned_data["password1"], name=self.cleaned_data["name"], **place)

    def save(self, request: HttpRequest) -> User:
        with transaction.atomic():
            user = cast("User", super().save(request))
            if self.is_joining:
                return user
            open_place(
                owner=user,
                tenant_name=self.cleaned_data["tenant_name"],
                workspace_name=self.cleaned_data["workspace_name"],
            )
        return user
