"""The tokens of a sign-in are one family: reuse of a spent refresh token ends all of them."""

import jwt
import pytest
from django.conf import settings
from django.test import Client
from rest_framework_simplejwt.tokens import RefreshToken

from accounts.authentication import still_stands
from accounts.models import AuditEntry, EndedFamily
from accounts.sign_in.token_families import forget_ended_families
from accounts.sign_in.tokens import principal_from_access
from accounts.tests.cast import PASSWORD, Cast
from accounts.tests.requests_as import As, code_of

pytestmark = pytest.mark.django_db
Tokens = dict[str, str]


def signed_in(name: str = "bob") -> Tokens:
    answer = As().ask("POST", "auth/token", {"email": f"{name}@example.com", "password": PASSWORD})
    assert answer.status_code == 200, answer.content
    return dict(answer.json())


def rotated(tokens: Tokens) -> Tokens:
    answer = refresh(tokens)
    assert answer.status_code == 200, answer.content
    return dict(answer.json())


def refresh(tokens: Tokens):  # type: ignore[no-untyped-def]
    return As().ask("POST", "auth/token/refresh", {"refresh": tokens["refresh"]})


def opens(tokens: Tokens) -> bool:
    return bool(As(credential=tokens["access"]).ask("GET", "me").status_code == 200)


def reused() -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(action="refresh_token.reused"))


def test_a_stolen_refresh_token_ends_when_its_owner_uses_theirs(cast: Cast) -> None:
    owners = signed_in()
    thiefs = rotated(rotated(owners))
    assert opens(thiefs)
    assert code_of(refresh(owners)) == "token_invalid"
    assert code_of(refresh(thiefs)) == "token_invalid"
    assert not opens(thiefs)
    assert not opens(owners)


def test_reuse_is_audited_once_in_the_team(cast: Cast) -> None:
    tokens = signed_in()
    rotated(tokens)
    for _ in range(3):
        refresh(tokens)
    (entry,) = reused()
    assert (entry.actor, entry.tenant_id) == (cast.bob.user, cast.bob.principal.tenant.id)
    assert entry.target == "acme/sales"


def test_another_sign_in_of_the_same_person_is_unaffected(cast: Cast) -> None:
    stolen, elsewhere = signed_in(), signed_in()
    rotated(stolen)
    refresh(stolen)
    assert opens(elsewhere)
    assert opens(rotated(elsewhere))


def test_tokens_after_a_switch_belong_to_the_same_family(cast: Cast) -> None:
    tokens = signed_in("alice")
    ops = {"tenantId": "acme", "workspaceId": "ops"}
    switched = dict(As(credential=tokens["access"]).ask("POST", "auth/switch", ops).json())
    assert opens(switched)
    rotated(tokens)
    refresh(tokens)
    assert not opens(switched)


def test_logging_out_ends_the_access_tokens_too(cast: Cast) -> None:
    first = signed_in()
    second = rotated(first)
    answer = As(credential=second["access"]).ask("POST", "auth/logout", {"refresh": second["refresh"]})
    assert answer.status_code == 204
    assert not opens(first)
    assert not opens(second)
    assert code_of(refresh(second)) == "token_invalid"
    assert reused() == []


def test_an_open_socket_ends_with_its_family(cast: Cast) -> None:
    tokens = signed_in()
    principal = principal_from_access(tokens["access"])
    assert still_stands(principal)
    rotated(tokens)
    refresh(tokens)
    assert not still_stands(principal)


def app_signed_in() -> tuple[Client, Tokens]:
    """An app, and the tokens it got."""
    app = Client()
    body = {"email": "bob@example.com", "password": PASSWORD}
    meta = app.post("/_allauth/app/v1/auth/login", body, content_type="application/json").json()["meta"]
    app.defaults["HTTP_X_SESSION_TOKEN"] = meta["session_token"]
    return app, {"access": meta["access_token"], "refresh": meta["refresh_token"]}


def test_an_app_that_signs_out_loses_its_tokens(cast: Cast) -> None:
    app, tokens = app_signed_in()
    fresh = rotated(tokens)
    assert opens(fresh)
    assert app.delete("/_allauth/app/v1/auth/session").status_code == 401  # allauth's answer after sign-out
    assert not opens(fresh)
    assert code_of(refresh(fresh)) == "token_invalid"


def test_a_reused_token_of_an_app_ends_its_session_too(cast: Cast) -> None:
    app, tokens = app_signed_in()
    fresh = rotated(tokens)
    assert code_of(refresh(tokens)) == "token_invalid"
    assert not opens(fresh)
    assert app.get("/_allauth/app/v1/auth/session").status_code in {401, 410}


def without_family(tokens: Tokens) -> Tokens:
    """As issued before there were families."""
    old = {}
    for name in ("access", "refresh"):
        claims = jwt.decode(tokens[name], options={"verify_signature": False})
        del claims["family"]
        old[name] = jwt.encode(claims, settings.SECRET_KEY, algorithm="HS256")
    return old


def test_tokens_without_a_family_still_work_and_start_one(cast: Cast) -> None:
    old = without_family(signed_in())
    assert opens(old)
    fresh = rotated(old)
    assert opens(fresh)
    assert code_of(refresh(old)) == "token_invalid"
    assert len(reused()) == 1
    assert not opens(fresh)
    assert code_of(refresh(fresh)) == "token_invalid"


def test_a_forged_or_expired_token_ends_no_family(cast: Cast) -> None:
    tokens = signed_in()
    rotated(tokens)
    claims = jwt.decode(tokens["refresh"], options={"verify_signature": False})
    forged = jwt.encode(claims, "another key that is long enough for it", algorithm="HS256")
    expired = jwt.encode({**claims, "exp": 1}, settings.SECRET_KEY, algorithm="HS256")
    for raw in (forged, expired, tokens["access"], "x"):
        assert code_of(refresh({"refresh": raw})) == "token_invalid"
    assert EndedFamily.objects.count() == 0


@pytest.mark.parametrize(
    "claims", [{"family": "x"}, {"family": 7}, {"jti": "x", "family": ""}, {"userId": "x"}]
)
def test_odd_claims_are_a_401(cast: Cast, claims: dict[str, object]) -> None:
    token = RefreshToken(signed_in()["refresh"])  # type: ignore[arg-type]
    token.payload.update(claims)
    assert code_of(refresh({"refresh": str(token)})) == "token_invalid"
    assert code_of(refresh({"refresh": str(token)})) == "token_invalid"


def test_ended_families_are_deleted_once_their_last_token_expired(cast: Cast) -> None:
    tokens = signed_in()
    As(credential=tokens["access"]).ask("POST", "auth/logout", {"refresh": tokens["refresh"]})
    forget_ended_families()
    row = EndedFamily.objects.get()
    lifetime = settings.SIMPLE_JWT["REFRESH_TOKEN_LIFETIME"]
    EndedFamily.objects.update(ended_at=row.ended_at - lifetime - lifetime)
    forget_ended_families()
    assert not EndedFamily.objects.exists()
