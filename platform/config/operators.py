"""Lets operators open one tenant at a time in the admin: `?_tenant=acme`, stored in the session."""

from collections.abc import Callable
from typing import cast

from django.contrib import admin, messages
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from accounts.admin.tenancy import OperatorRequest
from accounts.audit import services as audit
from accounts.models import Tenant
from kit.tenancy import TenantRef, tenant_scope

PARAMETER = "_tenant"
SESSION_KEY = "operator_tenant"


class OperatorMiddleware:
    """Comes after authentication and messages; only for operators, on the admin's URLs."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith(reverse("admin:index")) or not admin.site.has_permission(request):
            return self.get_response(request)
        if PARAMETER in request.GET:
            return self._choose(request)
        if any("\0" in value for values in request.GET.lists() for value in values[1]):
            raise BadRequest("No filter holds NUL.")
        tenant = self._opened(request)
        cast("OperatorRequest", request).opened_tenant = tenant
        if tenant is None:
            return self.get_response(request)
        with tenant_scope(tenant):
            return self.get_response(request)

    def _choose(self, request: HttpRequest) -> HttpResponse:
        """Stores the tenant, and redirects without the parameter, which lists would take for a filter."""
        slug = request.GET[PARAMETER]
        request.session.pop(SESSION_KEY, None)
        tenant = Tenant.objects.filter(slug=slug).first() if slug and "\0" not in slug else None
        if tenant is not None:
            request.session[SESSION_KEY] = tenant.slug
            audit.record("tenant.opened", actor_id=request.user.pk, tenant_id=tenant.id, target=tenant.slug)
        elif slug:
            messages.error(request, "No tenant has this name.")
            return HttpResponseRedirect(reverse("admin:accounts_tenant_changelist"))
        rest = request.GET.copy()
        del rest[PARAMETER]
        return HttpResponseRedirect(f"{request.path}?{rest.urlencode()}" if rest else request.path)

    def _opened(self, request: HttpRequest) -> TenantRef | None:
        slug = request.session.get(SESSION_KEY)
        tenant = Tenant.objects.filter(slug=slug).first() if slug else None
        return tenant.ref if tenant else None
