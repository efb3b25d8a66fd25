"""The bases of REST views behind a token: the policy is checked before the method runs."""

from typing import Any, ClassVar

from rest_framework.request import Request

from accounts.policy import Action, expect
from accounts.principals import Principal, over_workspace
from kit.api import TenantView


class PolicyView(TenantView):
    """A view with a principal and the right that each method needs.

    For a method without an entry the service decides. No method that writes may be guarded by a right to
    view: a test walks all routes.
    """

    policy: ClassVar[dict[str, Action]]
    own_policy: ClassVar[dict[str, Action]] = {}  # used instead where `user_id` in the URL is the principal's

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        caller: Principal = request.auth  # type: ignore[assignment]  # set by BearerAuthentication
        self.principal = self.acting_principal(caller, **kwargs)
        method = request.method or ""
        action = self._needed("GET" if method == "HEAD" else method, **kwargs)  # Django answers HEAD by `get`
        if action is not None:
            expect(self.principal, action)

    def _needed(self, method: str, **kwargs: Any) -> Action | None:
        is_own = kwargs.get("user_id") == self.principal.user_id
        return (self.own_policy.get(method) if is_own else None) or self.policy.get(method)

    def acting_principal(self, caller: Principal, **kwargs: Any) -> Principal:
        return caller


class WorkspaceView(PolicyView):
    """A view of the workspace named in the URL: the principal is the caller in or over it."""

    def acting_principal(self, caller: Principal, **kwargs: Any) -> Principal:
        return over_workspace(caller, kwargs["workspace"])
