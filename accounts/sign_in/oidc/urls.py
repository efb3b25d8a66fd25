"""The routes of sign-in with an issuer: login and callback."""

from django.urls import path

from accounts.sign_in.oidc import views

urlpatterns = [
    path("oidc/<slug:provider_id>/login/", views.login, name="openid_connect_login"),
    path("oidc/<slug:provider_id>/login/callback/", views.callback, name="openid_connect_callback"),
]
