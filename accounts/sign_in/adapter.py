"""allauth's account adapter: names of new users, audit entries, and the effects of changed credentials."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.core.internal.httpkit import is_headless_request
from allauth.headless.internal.restkit.response import ErrorResponse
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.crypto import get_random_string

from accounts.audit import services as audit
from accounts.audit.refusals import record_refusal
from accounts.email_addresses import normal_address, plain_address
from accounts.mail.limits import may_mail
from accounts.mail.services import compose
from accounts.models import User
from accounts.sign_in.credential_changes import credentials_changed
from accounts.sign_in.guesses import forget_guesses, guess_password
from accounts.sign_in.recovery import recover
from accounts.sign_in.users import is_verified
from kit import request_origin
from kit.errors import InvalidInput

# The mails that allauth sends about changed credentials, and the audit's action for each.
CREDENTIALS_CHANGES = {
    "account/email/password_changed": "user.password_changed",
    "account/email/password_set": "user.password_set",
    "account/email/password_reset": "user.password_reset",
    "account/email/email_changed": "user.email_changed",
    "account/email/email_deleted": "user.email_removed",
    "socialaccount/email/account_connected": "user.connection_added",
    "socialaccount/email/account_disconnected": "user.connection_removed",
}
UNKNOWN_ADDRESS = "0.0.0.0"  # noqa: S104  # for the peer behind a unix socket, which has no address


class AccountAdapter(DefaultAccountAdapter):
    def save_user(self, request: HttpRequest, user: User, form: Any, commit: bool = True) -> User:
        """Of two concurrent sign-ups of one address, one is sent to sign in."""
        user.name = form.cleaned_data.get("name", "") or user.name
        try:
            with transaction.atomic():
                saved: User = super().save_user(request, user, form, commit)
        except IntegrityError as exc:
            raise ImmediateHttpResponse(self._address_taken(request)) from exc
        return saved

    def _address_taken(self, request: HttpRequest) -> HttpResponse:
        taken: ValidationError = self.validation_error("email_taken")
        if is_headless_request(request):
            refusal: HttpResponse = ErrorResponse(request, exception=taken)
            return refusal
        messages.error(request, "An account with this email already exists. Sign in instead.")
        return redirect("account_login")

    def clean_email(self, email: str) -> str:
        """Called by every form and app route that takes an address."""
        try:
            return normal_address(email)
        except InvalidInput as problem:
            raise ValidationError(problem.details["email"]) from problem

    def post_login(self, request: HttpRequest, user: User, **kwargs: Any) -> HttpResponse:
        audit.record("user.signed_in", actor_id=user.pk, via=_via(request))
        response: HttpResponse = super().post_login(request, user, **kwargs)
        return response

    def logout(self, request: HttpRequest) -> None:
        if request.user.is_authenticated:  # an app's session may have ended already
            audit.record("user.signed_out", actor_id=request.user.pk, via=_via(request))
        super().logout(request)

    def authenticate(self, request: HttpRequest, **credentials: Any) -> User | None:
        """Uses the normal address for look-up and limits: another spelling gives no further guesses."""
        credentials["email"] = plain_address(str(credentials.get("email", "")))
        user: User | None = super().authenticate(request, **credentials)
        if user is not None and self._guess is not None:
            self._guess.succeed()
        return user

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Replaces allauth's count, with which anyone could lock out anyone."""
        self._guess = guess_password(request, credentials["email"])
        if self._guess is None:
            raise self.validation_error("too_many_login_attempts")

    def _delete_login_attempts_cached_email(self, request: HttpRequest, **credentials: Any) -> None:
        """allauth's hook after a password reset."""
        forget_guesses(request, str(credentials.get("email", "")))

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        super().authentication_failed(request, **credentials)
        target = str(credentials.get("email", "")).lower()
        record_refusal("user.sign_in_refused", code="credentials_invalid", target=target)

    def send_notification_mail(
        self,
        template_prefix: str,
        user: User,
        context: dict[str, Any] | None = None,
        email: str | None = None,
    ) -> None:
        """The one hook that allauth calls for every change of credentials, by page or app."""
        if template_prefix in CREDENTIALS_CHANGES:
            credentials_changed(user, action=CREDENTIALS_CHANGES[template_prefix])
        if template_prefix == "account/email/password_reset":
            recover(user)
        super().send_notification_mail(template_prefix, user, context, email)

    def respond_email_verification_sent(self, request: HttpRequest, user: User | None) -> HttpResponse:
        """`user` is None if a known address signed up and allauth hides it: the time must hide it too."""
        if user is None and is_headless_request(request):
            User().set_password(get_random_string(12))
        answer: HttpResponse = super().respond_email_verification_sent(request, user)
        return answer

    def send_password_reset_mail(self, user: User, email: str, context: dict[str, Any]) -> None:
        """Until the account's own address is verified, no other address recovers the account."""
        if is_verified(user) or plain_address(email) == user.email:
            super().send_password_reset_mail(user, email, context)

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """As all our mail: text and HTML, and nothing from the request, whose Host anyone may choose."""
        if may_mail(template_prefix, email):
            safe = {name: value for name, value in context.items() if name != "request"}
            compose(template_prefix, email, {**safe, "email": email}).send()

    def get_client_ip(self, request: HttpRequest) -> str:
        """As our middleware found it; limits count all clients without an address together."""
        return request_origin.current().address or UNKNOWN_ADDRESS


def _via(request: HttpRequest) -> str:
    return "app" if is_headless_request(request) else "web"
