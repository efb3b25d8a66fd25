"""Lists each use of another package's internals: the places to check when that package is upgraded.

Names under `internal` or beginning with `_`, and mcp's OAuth helpers, may change in any release. A change of
the lists fails here, so that a new use is deliberate.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[3]
OURS = {"accounts", "config", "devserver", "gateway", "kit", "quotas", "workspaces"}
OTHER_INTERNALS = ("mcp.client.auth",)
# Documented, or as stable as if they were.
PUBLIC = {"_asdict", "_base_manager", "_default_manager", "_exit", "_meta", "_replace", "_state"}

IMPORTS = {
    "allauth.account.internal.decorators": [
        "accounts/sign_in/oidc/views.py",
        "accounts/sign_in/pages/confirmation.py",
    ],
    "allauth.account.internal.flows.email_verification": ["accounts/sign_in/users.py"],
    "allauth.account.internal.flows.login": ["accounts/teams/pages/invitation_acceptance.py"],
    "allauth.account.signals._add_email": ["accounts/sign_in/allauth_events.py"],
    "allauth.core.internal": ["accounts/mail/limits.py", "accounts/sign_in/guesses.py"],
    "allauth.core.internal.httpkit": [
        "accounts/sign_in/adapter.py",
        "accounts/sign_in/passkey_errors.py",
        "accounts/sign_in/social.py",
    ],
    "allauth.core.internal.sessionkit": ["accounts/sign_in/sessions.py"],
    "allauth.headless.internal.restkit.response": [
        "accounts/sign_in/adapter.py",
        "accounts/sign_in/passkey_errors.py",
    ],
    "allauth.headless.internal.sessionkit": ["accounts/sign_in/app_tokens.py"],
    "allauth.mfa.totp.internal.auth": ["accounts/sign_in/allauth_events.py"],
    "mcp.client.auth": ["workspaces/mcp_servers/oauth/flow.py", "workspaces/mcp_servers/oauth/metadata.py"],
    "mcp.client.auth.utils": [
        "workspaces/mcp_servers/client.py",
        "workspaces/mcp_servers/oauth/discovery.py",
        "workspaces/mcp_servers/oauth/flow.py",
        "workspaces/mcp_servers/oauth/registration.py",
        "workspaces/mcp_servers/oauth/token_store.py",
        "workspaces/mcp_servers/oauth/tokens.py",
    ],
}
# Private attributes read on another package's objects, or methods that call its private ones.
ATTRIBUTES = {
    "_configure_connection": ["platform/kit/postgresql/base.py"],
    "_connect": ["platform/kit/postgresql/base.py"],
    "_path": ["platform/kit/daphne_bodies.py"],
    "_receive_buffer": ["platform/kit/uvicorn_bounds.py"],
    "_set_autocommit": ["platform/kit/postgresql/base.py"],
}
# Private methods of another package that a subclass of ours replaces.
OVERRIDES = {
    "_delete_login_attempts_cached_email": ["accounts/sign_in/adapter.py"],  # allauth
    "_validate_session_key": ["accounts/sign_in/session_store.py"],  # Django
}


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Path and syntax tree of each product module."""
    for app in ("accounts", "gateway", "platform", "quotas", "workspaces"):
        for path in sorted((ROOT / app).rglob("*.py")):
            if not {"tests", "migrations"} & set(path.parts):
                yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def imported(nodes: list[ast.AST]) -> Iterator[str]:
    """Modules with internals that are imported; a private name is listed with its module."""
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield f"{node.module}.{alias.name}" if _is_module_or_private(node, alias) else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _is_module_or_private(node: ast.ImportFrom, alias: ast.alias) -> bool:
    return alias.name.startswith("_") or (node.module in OTHER_INTERNALS and alias.name == "utils")


def is_internal(name: str) -> bool:
    parts = name.split(".")
    if parts[0] in OURS or parts[0].startswith("_"):
        return False
    private = any(part == "internal" or part.startswith("_") for part in parts)
    return private or any(name == internal or name.startswith(f"{internal}.") for internal in OTHER_INTERNALS)


def private_attributes(nodes: list[ast.AST]) -> Iterator[str]:
    own = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    own |= {node.attr for node in nodes if isinstance(node, ast.Attribute) and _is_self(node.value)}
    for node in nodes:
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            is_ours = _is_self(node.value) or (node.attr in own and not _is_super(node.value))
            if node.attr not in PUBLIC and not is_ours:
                yield node.attr


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in {"self", "cls"}


def _is_super(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super"


class Uses(NamedTuple):
    """Paths of our modules by the name that they use."""

    imports: dict[str, set[str]]
    attributes: dict[str, set[str]]
    overrides: dict[str, list[str]]


@pytest.fixture(scope="module")
def uses() -> Uses:
    """Of all modules, each of which is parsed once."""
    found = Uses(defaultdict(set), defaultdict(set), defaultdict(list))
    for path, tree in modules():
        nodes = list(ast.walk(tree))
        for name in filter(is_internal, imported(nodes)):
            found.imports[name].add(path)
        for name in private_attributes(nodes):
            found.attributes[name].add(path)
        for node in nodes:
            if isinstance(node, ast.FunctionDef) and node.name in OVERRIDES:
                found.overrides[node.name].append(path)
    return found


def test_imports_of_internals_are_listed(uses: Uses) -> None:
    assert {name: sorted(paths) for name, paths in uses.imports.items()} == IMPORTS


def test_private_attributes_of_other_packages_are_listed(uses: Uses) -> None:
    assert {name: sorted(paths) for name, paths in uses.attributes.items()} == ATTRIBUTES


def test_the_listed_overrides_exist(uses: Uses) -> None:
    assert uses.overrides == OVERRIDES
