"""allauth's login and callback views with our exchange; 404 for an issuer that is not configured."""

from allauth.account.internal.decorators import login_not_required
from allauth.socialaccount.models import SocialApp
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView, OAuth2LoginView
from django.http import Http404, HttpRequest, HttpResponse

from accounts.sign_in.oidc.exchange import IssuerExchange


@login_not_required  # type: ignore[untyped-decorator]  # allauth is untyped here
def login(request: HttpRequest, provider_id: str) -> HttpResponse:
    answer: HttpResponse = OAuth2LoginView.adapter_view(_exchange(request, provider_id))(request)
    return answer


@login_not_required  # type: ignore[untyped-decorator]
def callback(request: HttpRequest, provider_id: str) -> HttpResponse:
    answer: HttpResponse = OAuth2CallbackView.adapter_view(_exchange(request, provider_id))(request)
    return answer


def _exchange(request: HttpRequest, provider_id: str) -> IssuerExchange:
    exchange = IssuerExchange(request, provider_id)
    try:
        exchange.get_provider()
    except SocialApp.DoesNotExist as exc:
        raise Http404 from exc
    return exchange
