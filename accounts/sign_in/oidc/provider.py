"""allauth's OpenID Connect provider, with a nonce that the id token must return."""

import secrets
from typing import Any

from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.helpers import render_authentication_error
from allauth.socialaccount.models import SocialLogin
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.openid_connect import provider as theirs
from django.http import HttpRequest, HttpResponse
from requests import RequestException

from accounts.sign_in.oidc.exchange import UNREADABLE, IssuerExchange

NONCE = "nonce"


class OpenIDConnectProvider(theirs.OpenIDConnectProvider):
    package = "accounts.sign_in.oidc"
    oauth2_adapter_class = IssuerExchange

    def redirect(
        self, request: HttpRequest, process: str, next_url: str | None = None, data: Any = None, **kwargs: Any
    ) -> HttpResponse:
        """To the issuer, or an error page if it cannot be reached."""
        nonce = secrets.token_urlsafe(24)
        params = {**(kwargs.pop("auth_params", None) or self.get_auth_params()), NONCE: nonce}
        options = {**kwargs, "auth_params": params, NONCE: nonce}
        try:
            answer: HttpResponse = super().redirect(request, process, next_url, data, **options)
        except (OAuth2Error, RequestException) as exc:
            answer = render_authentication_error(request, self, exception=exc)
        return answer

    def verify_token(self, request: HttpRequest, token: Any) -> SocialLogin:
        """An id token that an app obtained itself; anything unexpected makes it invalid."""
        try:
            login: SocialLogin = super().verify_token(request, token)
        except UNREADABLE as exc:
            raise get_adapter().validation_error("invalid_token") from exc
        return login


def has_our_nonce(login: SocialLogin) -> bool:
    """Whether the id token has the nonce that was sent; true if none was sent."""
    sent = login.state.get(NONCE)
    token = login.account.extra_data.get("id_token")
    return sent is None or (isinstance(token, dict) and token.get(NONCE) == sent)


provider_classes = [OpenIDConnectProvider]
