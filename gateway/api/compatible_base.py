"""The base of the routes that answer in another API's wire format, each request one metered call."""

from abc import ABC, abstractmethod
from typing import ClassVar

from django.conf import settings

from gateway.api.consumer_base import EdgeConsumer
from gateway.providers.base import JsonObject
from kit.api import error_headers
from kit.errors import DomainError, TurnInterrupted
from kit.http_consumer import ClientGone
from quotas.errors import QuotaExceeded


class CompatibleConsumer(EdgeConsumer, ABC):
    """Accepts large bodies, and sends errors in the wire format."""

    admits_first: ClassVar[bool] = True

    @property
    def most_bytes(self) -> int:
        most: int = settings.MODEL_CALL_MAX_BODY_BYTES
        return most

    @abstractmethod
    def wire_error(self, error: DomainError) -> tuple[int, JsonObject]:
        """Status and body of an error in this wire format."""

    def cut_off_error(self) -> DomainError:
        """The call ends with its client's request, and does not continue elsewhere."""
        return TurnInterrupted()

    async def send_error(self, error: DomainError) -> None:
        if self.started:
            raise ClientGone
        headers = error_headers(error)
        if isinstance(error, QuotaExceeded):
            headers["x-should-retry"] = "false"  # a retry cannot succeed before the budget's reset
        status, body = self.wire_error(error)
        await self.send_json(status, body, headers)
