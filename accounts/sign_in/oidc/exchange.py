"""The exchange with an issuer: allauth's, with every check of OpenID Connect, an error for all nonsense."""

from typing import Any

from allauth.socialaccount.models import SocialApp, SocialLogin, SocialToken
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.http import HttpRequest

ENDPOINTS = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri")
# What code that takes an answer apart may raise over one that makes no sense.
NONSENSE = (KeyError, TypeError, ValueError, AttributeError, OverflowError)


class IssuerExchange(OpenIDConnectOAuth2Adapter):
    @property
    def openid_config(self) -> dict[str, Any]:
        """The issuer's own description of itself, which has to be of the issuer that was asked."""
        try:
            config: dict[str, Any] = super().openid_config
            told = {name: str(config[name]) for name in ("issuer", *ENDPOINTS)}
        except NONSENSE as exc:
            raise OAuth2Error("The issuer's configuration is not valid.") from exc
        asked = self.get_provider().app.settings["server_url"]
        if told["issuer"].rstrip("/") != asked:
            raise OAuth2Error("The configuration belongs to another issuer.")
        return config

    def complete_login(
        self, request: HttpRequest, app: SocialApp, token: SocialToken, **kwargs: Any
    ) -> SocialLogin:
        try:
            login: SocialLogin = super().complete_login(request, app, token, **kwargs)
            told = login.account.extra_data
            about = {str(told[part]["sub"]) for part in ("userinfo", "id_token")}
        except NONSENSE as exc:
            raise OAuth2Error("The issuer returned an invalid response.") from exc
        if len(about) != 1:
            raise OAuth2Error("The ID token and the profile belong to different people.")
        return login
