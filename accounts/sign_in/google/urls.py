"""The routes of sign-in with Google: login and callback."""

from allauth.socialaccount.providers.google import provider
from allauth.socialaccount.providers.oauth2.urls import default_urlpatterns

urlpatterns = default_urlpatterns(provider.GoogleProvider)
