"""The base of all consumers that clients call: adds the host check and identity to kit's consumer."""

from typing import ClassVar

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from accounts.authentication import API_KEY_HEADER, WORKSPACE_HEADER, principal_of_bearer, token_of
from accounts.policy import Action, expect
from accounts.principals import Principal
from kit.errors import HostUnknown, NotAuthenticated
from kit.http_consumer import HttpConsumer
from kit.tenancy import in_public


class EdgeConsumer(HttpConsumer):
    """Checks host, identity and permission; handlers use `self.principal`.

    A consumer whose `action` is None checks the policy itself, since it reports a refusal in its own way.
    """

    principal: Principal
    action: ClassVar[Action | None] = None

    async def admit(self, body: bytes) -> None:
        check_host(self.header)
        self.principal = await self.identify(body)
        if self.action is not None:
            expect(self.principal, self.action)

    async def identify(self, body: bytes) -> Principal:
        """The principal of the token or key; the tenant's schema is not entered."""
        authorization = self.header.get("authorization", "").encode("latin-1")
        raw = token_of(authorization, self.header.get(API_KEY_HEADER, ""))
        if raw is None:
            raise NotAuthenticated
        return await in_public(principal_of_bearer, raw, self.header.get(WORKSPACE_HEADER, ""))


def check_host(header: dict[str, str]) -> None:
    """Django checks the Host header on its own routes; consumers must do it themselves."""
    name, _ = split_domain_port(header.get("host", ""))
    if not validate_host(name, settings.ALLOWED_HOSTS):
        raise HostUnknown
