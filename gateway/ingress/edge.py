"""Wraps every consumer that clients call: the host's name and who calls, beside what kit's consumer does."""

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from accounts.authentication import bearer_token
from accounts.principals import Principal
from accounts.tokens import principal_from_access
from kit.consumers import HttpConsumer
from kit.errors import HostUnknown, NotAuthenticated
from kit.tenancy import in_public


class EdgeConsumer(HttpConsumer):
    """Host and identity; a handler finds the caller in `self.principal`."""

    principal: Principal

    async def admit(self, body: bytes) -> None:
        check_host(self.header)
        self.principal = await self.identify(body)

    async def identify(self, body: bytes) -> Principal:
        """Who calls, by bearer token; the tenant's schema is entered by nobody here."""
        raw = bearer_token(self.header.get("authorization", "").encode("latin-1"))
        if raw is None:
            raise NotAuthenticated
        return await in_public(principal_from_access, raw)


def check_host(header: dict[str, str]) -> None:
    """Django checks the Host header on its own routes; consumers must do it themselves."""
    name, _ = split_domain_port(header.get("host", ""))
    if not validate_host(name, settings.ALLOWED_HOSTS):
        raise HostUnknown
