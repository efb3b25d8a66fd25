"""The admin in production requires a second factor."""

from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP
from django.contrib import admin
from django.core.cache import cache
from django.test import Client

from accounts.models import User
from accounts.sign_in.tests.test_sign_in import codes
from accounts.tests.cast import Cast
from accounts.tests.operators import PASSWORD, desk, operator

pytestmark = pytest.mark.django_db
SECRET = "JBSWY3DPEHPK3PXP"


@pytest.fixture(autouse=True)
def production(settings: Any) -> None:
    settings.ADMIN_TWO_FACTOR = True
    cache.clear()


def signed_in(user: User) -> Client:
    client = Client()
    client.post("/accounts/login/?next=/admin/", {"login": user.email, "password": PASSWORD})
    return client


def admin_pages() -> list[str]:
    """One URL for each route of the admin."""
    found = ["/admin/", "/admin/jsi18n/", "/admin/password_change/", "/admin/autocomplete/"]
    for model in admin.site._registry:
        base = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        found += [base, f"{base}add/", f"{base}x/change/", f"{base}x/delete/", f"{base}x/history/"]
    return found


def test_without_a_second_factor_every_admin_page_leads_to_setup(cast: Cast) -> None:
    client = signed_in(operator())
    for page in admin_pages():
        answer = client.get(page, follow=True)
        assert answer.request["PATH_INFO"] == "/accounts/2fa/", page
    assert (
        "The admin requires two-factor authentication" in client.get("/admin/", follow=True).content.decode()
    )
    assert client.post("/admin/accounts/user/add/", {"email": "x@example.com"}).status_code == 302
    assert not User.objects.filter(email="x@example.com").exists()


def test_recovery_codes_alone_are_no_second_factor(cast: Cast) -> None:
    user = operator()
    client = signed_in(user)
    RecoveryCodes.activate(user)
    assert client.get("/admin/").status_code == 302


def test_after_setup_the_admin_needs_password_and_code(cast: Cast) -> None:
    user = operator()
    EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=True)
    client = signed_in(user)
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    page = client.get("/accounts/2fa/totp/activate/").context["form"]
    assert client.post("/accounts/2fa/totp/activate/", {"code": codes(page.secret)[1]}).status_code == 302
    assert client.get("/admin/").status_code == 200
    assert Authenticator.objects.filter(user=user, type="totp").exists()
    stopped = signed_in(user).get("/admin/", follow=True)
    assert stopped.request["PATH_INFO"] == "/accounts/2fa/authenticate/"


def test_an_operator_signs_in_with_password_and_code(cast: Cast) -> None:
    user = operator()
    TOTP.activate(user, SECRET)
    client = signed_in(user)
    assert client.get("/admin/").status_code == 302
    client.post("/accounts/2fa/authenticate/", {"code": codes(SECRET)[1]})
    assert client.get("/admin/").status_code == 200


def test_djangos_own_sign_in_form_is_not_served(cast: Cast) -> None:
    """It has neither limits on guesses nor a second factor, also for guesses at another operator."""
    other = User.objects.create_superuser("op2@example.com", PASSWORD)
    user = operator()
    TOTP.activate(user, SECRET)
    client = desk(user)
    form = {"username": other.email, "password": PASSWORD}
    for browser in (client, Client()):
        browser.post("/admin/login/", form)
        assert browser.session.get("_auth_user_id") != str(other.pk)
    assert signed_in(cast.bob.user).get("/admin/login/").status_code in {302, 403}


def test_the_requirement_is_off_only_by_the_setting(cast: Cast, settings: Any) -> None:
    settings.ADMIN_TWO_FACTOR = False
    assert signed_in(operator()).get("/admin/").status_code == 200
