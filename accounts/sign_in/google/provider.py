"""allauth's Google provider, less the two ways in by a posted id token: nothing here uses them."""

from allauth.socialaccount.providers.google import provider as theirs


class GoogleProvider(theirs.GoogleProvider):
    package = "accounts.sign_in.google"
    supports_token_authentication = False


provider_classes = [GoogleProvider]
