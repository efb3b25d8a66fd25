"""allauth's Google provider without sign-in by a posted id token, which nothing here uses."""

from allauth.socialaccount.providers.google import provider as theirs


class GoogleProvider(theirs.GoogleProvider):
    package = "accounts.sign_in.google"
    supports_token_authentication = False


provider_classes = [GoogleProvider]
