"""allauth's exchange with an issuer, with every check of OpenID Connect and an error for invalid answers."""

from typing import Any

from allauth.socialaccount.models import SocialApp, SocialLogin, SocialToken
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.http import HttpRequest

ENDPOINTS = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri")
# What parsing an invalid answer may raise.
UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, OverflowError)


class IssuerExchange(OpenIDConnectOAuth2Adapter):
    @property
    def openid_config(self) -> dict[str, Any]:
        """The issuer's configuration, which must name the issuer that was asked."""
        try:
            config: dict[str, Any] = super().openid_config
            named = {name: str(config[name]) for name in ("issuer", *ENDPOINTS)}
        except UNREADABLE as exc:
            raise OAuth2Error("The issuer's configuration is not valid.") from exc
        asked = self.get_provider().app.settings["server_url"]
        if named["issuer"].rstrip("/") != asked:
            raise OAuth2Error("The configuration belongs to another issuer.")
        return config

    def complete_login(
        self, request: HttpRequest, app: SocialApp, token: SocialToken, **kwargs: Any
    ) -> SocialLogin:
        try:
            login: SocialLogin = super().complete_login(request, app, token, **kwargs)
            data = login.account.extra_data
            subjects = {str(data[part]["sub"]) for part in ("userinfo", "id_token")}
        except UNREADABLE as exc:
            raise OAuth2Error("The issuer returned an invalid response.") from exc
        if len(subjects) != 1:
            raise OAuth2Error("The ID token and the profile belong to different people.")
        return login
