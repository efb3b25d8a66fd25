"""The routes of signing in with Google: there and back."""

from allauth.socialaccount.providers.google import provider
from allauth.socialaccount.providers.oauth2.urls import default_urlpatterns

urlpatterns = default_urlpatterns(provider.GoogleProvider)
