"""Services that call a server release the database connection first."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction

from accounts.tests.cast import Cast
from gateway.tests.real_mcp import RealMCP
from kit.tenancy import tenant_scope
from workspaces.mcp_servers import services
from workspaces.mcp_servers.inputs import ServerInput
from workspaces.mcp_servers.oauth.flow import Callback

CALCULATOR = {"slug": "calculator"}
CALLING_OUT: list[tuple[Callable[..., Any], dict[str, Any]]] = [
    (services.install_server, {"server": ServerInput(slug="other", url="https://x.example/mcp")}),
    (services.refresh_server, CALCULATOR),
    (services.begin_sign_in, CALCULATOR),
    (services.finish_sign_in, {"secret": "", "callback": Callback()}),
    (services.sign_out, CALCULATOR),
]


def test_no_service_calls_out_inside_a_transaction(installed: RealMCP, cast: Cast) -> None:
    """Which is where a connection and its locks cannot be released."""
    principal = cast.alice.principal
    for service, fields in CALLING_OUT:
        with (
            tenant_scope(principal.tenant),
            transaction.atomic(),
            pytest.raises(RuntimeError, match="outbound call"),
        ):
            service(principal=principal, **fields)
