"""Creates accounts and checks credentials: password, second factor, verified address."""

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.email_verification import handle_verification_email_rate_limit
from allauth.account.models import EmailAddress
from allauth.core import context
from allauth.mfa.base.forms import AuthenticateForm
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts.errors import AddressUnverified, CredentialsInvalid, EmailTaken, SecondStepRequired
from accounts.models import User
from kit.errors import InvalidInput, RateLimited

RETRY_SECONDS = 300  # the longer of the windows in which wrong passwords and codes are counted


def create_account(*, email: str, password: str | None, name: str, verified: bool) -> User:
    """`email` as from `normal_address`; EmailTaken if an account has it, whatever its case."""
    if password is not None:
        check_password(password, User(email=email, name=name))
    if User.objects.filter(email__iexact=email).exists() or _is_second_address(email):
        raise EmailTaken
    try:
        with transaction.atomic():
            user = User.objects.create_user(email, password, name=name)
    except IntegrityError as exc:  # by a concurrent sign-up
        raise EmailTaken from exc
    EmailAddress.objects.create(user=user, email=email, primary=True, verified=verified)
    return user


def _is_second_address(email: str) -> bool:
    """Whether another account verified it as an additional address, and can sign in with it."""
    found: bool = EmailAddress.objects.filter(email=email, verified=True).exists()
    return found


def check_password(password: str, user: User) -> None:
    try:
        validate_password(password, user)
    except ValidationError as exc:
        raise InvalidInput(password=exc.messages) from exc


def prove(*, email: str, password: str, code: str = "") -> User:
    """The user with this email and password; limits on guesses are shared with the web.

    CredentialsInvalid; RateLimited; SecondStepRequired if the account needs a code and none was sent;
    AddressUnverified if the installation requires verified addresses, after sending the link again.
    """
    request = context.request
    try:
        user = get_adapter().authenticate(request, email=email, password=password)
    except ValidationError as exc:
        raise RateLimited(retry_after=RETRY_SECONDS) from exc
    if not isinstance(user, User) or not user.is_active:
        raise CredentialsInvalid
    if is_mfa_enabled(user):
        _check_second_factor(user, code)
    if settings.EMAIL_VERIFICATION == "mandatory" and not is_verified(user):
        send_verification(user)
        raise AddressUnverified
    return user


def _check_second_factor(user: User, code: str) -> None:
    if not code:
        raise SecondStepRequired
    form = AuthenticateForm(data={"code": code}, user=user)
    if form.is_valid():
        form.authenticator.record_usage()
        return
    if form.has_error("code", "too_many_login_attempts"):
        raise RateLimited(retry_after=RETRY_SECONDS)
    raise CredentialsInvalid("The code is wrong.")


def is_verified(user: User) -> bool:
    found: bool = EmailAddress.objects.filter(user=user, email=user.email, verified=True).exists()
    return found


def mark_verified(user: User) -> None:
    """For someone with a link that was mailed to the address."""
    EmailAddress.objects.update_or_create(
        user=user, email=user.email, defaults={"verified": True, "primary": True}
    )


def send_verification(user: User) -> None:
    """Mails the link to the user's own address, within allauth's limit; only in a request."""
    address = EmailAddress.objects.filter(user=user, email=user.email).first()
    if address is None or context.request is None or settings.EMAIL_VERIFICATION == "none":
        return
    if handle_verification_email_rate_limit(context.request, user.email):
        address.send_confirmation(context.request)


def mail_account_exists(email: str) -> None:
    """After a sign-up with an address that has an account: by mail, so that only its owner knows."""
    get_adapter().send_account_already_exists_mail(email)
