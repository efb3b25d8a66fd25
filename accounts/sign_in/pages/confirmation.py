"""The page of the link that confirms an address; on another device it asks for the password."""

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.internal.decorators import login_not_required
from allauth.account.views import ConfirmEmailView as TheirConfirmEmailView
from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.utils.decorators import method_decorator

from accounts.models import User
from accounts.sign_in.recovery import is_own_session


class PasswordForm(forms.Form):
    password = forms.CharField(
        label="Password",
        max_length=1000,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )


@method_decorator(login_not_required, name="dispatch")
class ConfirmEmailView(TheirConfirmEmailView):
    """Mail and password together show who made the account; the mail alone only allows a reset."""

    def post(self, *args: Any, **kwargs: Any) -> HttpResponse:
        self.object = self.get_object()
        if self._asks_password():
            self.form = PasswordForm(self.request.POST)
            if not (self.form.is_valid() and self._is_right(self.form)):
                again: HttpResponse = self.render_to_response(self.get_context_data())
                return again
            self.request.knows_password = True
        answer: HttpResponse = super().post(*args, **kwargs)
        return answer

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context_data(**kwargs)
        if self.object and self._asks_password():
            context["form"] = getattr(self, "form", None) or PasswordForm()
            context["has_password"] = self._user.has_usable_password()
        return context

    @property
    def _user(self) -> User:
        user: User = self.object.email_address.user
        return user

    def _asks_password(self) -> bool:
        """Only for the account's own address: another one can be added only once the first is proved."""
        is_first = self.object.email_address.email == self._user.email
        return is_first and not is_own_session(self.request, self._user)

    def _is_right(self, form: PasswordForm) -> bool:
        try:
            found = get_adapter().authenticate(
                self.request, email=self._user.email, password=form.cleaned_data["password"]
            )
        except ValidationError as problem:  # too many guesses
            form.add_error("password", problem)
            return False
        if found != self._user:
            form.add_error("password", "Wrong password.")
        return form.is_valid()
