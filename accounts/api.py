"""What every route behind a token has in common: its right, asked of the policy before the method runs."""

from typing import Any, ClassVar

from rest_framework.request import Request

from accounts.policy import Action, expect
from accounts.principals import Principal, over_workspace
from kit.api import TenantView


class PolicyView(TenantView):
    """A view that knows who asks, and what each method needs.

    A method without an entry leaves the question to its service. No method that writes may need a right to
    view: a test walks all routes.
    """

    policy: ClassVar[dict[str, Action]]
    own_policy: ClassVar[dict[str, Action]] = {}  # in its place where `user_id` in the address is the caller

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        self.place = self.find_place(**kwargs)
        method = request.method or ""
        action = self._needed("GET" if method == "HEAD" else method, **kwargs)  # Django answers HEAD by `get`
        if action is not None:
            expect(self.place, action)

    def _needed(self, method: str, **kwargs: Any) -> Action | None:
        is_own = kwargs.get("user_id") == self.principal.user_id
        return (self.own_policy.get(method) if is_own else None) or self.policy.get(method)

    def find_place(self, **kwargs: Any) -> Principal:
        return self.principal

    @property
    def principal(self) -> Principal:
        principal: Principal = self.request.auth  # type: ignore[assignment]  # set by BearerAuthentication
        return principal


class WorkspaceView(PolicyView):
    """A view of the workspace that the address names: `place` is the caller there, or above it."""

    def find_place(self, **kwargs: Any) -> Principal:
        return over_workspace(self.principal, kwargs["workspace"])
