"""A key in a server's URL is hidden where the URL is shown, and stored encrypted."""

from importlib import import_module

import pytest
from django.apps import apps
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from accounts.tests.cast import Cast
from kit.tenancy import tenant_scope
from workspaces.mcp_servers.inputs import url_problem
from workspaces.mcp_servers.urls import secrets_in, shown_url, url_of
from workspaces.models import MCPServer


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://mcp.example.com/mcp", None),
        ("https://mcp.example.com/model-context-protocol/v2/", None),
        ("http://[::1]:8000/mcp", None),
        ("https://mcp.example.com/mcp?apiKey=abc", "https://mcp.example.com/mcp?apiKey=…"),
        ("https://mcp.example.com/mcp?a=b=c&sk-1234567", "https://mcp.example.com/mcp?a=…&…"),
        ("https://mcp.example.com/mcp?empty=", None),
        ("HTTPS://mcp.example.com/mcp?", None),
        ("https://mcp.example.com/s/MTIzNDU2Nzg5MDEyMzQ/mcp", "https://mcp.example.com/s/…/mcp"),
        ("https://mcp.example.com/0192d3a0-7c1e-7b7e-8f00-1a2b3c4d5e6f", "https://mcp.example.com/…"),
    ],
)
def test_parts_that_may_be_keys_are_hidden(url: str, shown: str | None) -> None:
    assert shown_url(url) == (shown or url)


@given(
    st.text(
        st.characters(codec="ascii", categories=["L", "N", "P", "S"], exclude_characters="#"), max_size=60
    )
)
def test_a_shown_url_is_never_longer_and_stable(rest: str) -> None:
    shown = shown_url(f"https://mcp.example.com/{rest}")
    assert len(shown) <= len(f"https://mcp.example.com/{rest}")
    assert shown_url(shown) == shown


@given(st.text("[]:@/\\?#.%ax1℀－。&=;…", max_size=14))
def test_an_invalid_url_is_refused_and_any_other_can_be_shown(rest: str) -> None:
    url = f"https://{rest}"
    if not url_problem(url):
        assert len(shown_url(url)) <= len(url)
        assert len("".join(secrets_in(url))) <= 2 * len(url)


def test_hidden_parts_are_known_as_written_and_decoded() -> None:
    hidden = secrets_in("https://x.example/mcp?key=a%20secret&n=1&verbose=")
    assert hidden == ["a%20secret", "a secret"]


@pytest.mark.django_db
def test_the_migration_seals_keys_that_were_stored_in_clear(cast: Cast) -> None:
    keyed = "https://x.example/mcp?key=secret"
    principal = cast.alice.principal
    with tenant_scope(principal.tenant):
        for slug, url, removed_at in (
            ("keyed", keyed, None),
            ("plain", "https://x.example/mcp", None),
            ("gone", keyed, timezone.now()),
        ):
            MCPServer.objects.create(
                workspace_id=principal.workspace.id, slug=slug, url=url, removed_at=removed_at
            )
        migration = import_module("workspaces.migrations.0010_sealed_urls")
        migration.hide_keys(apps, None)
        rows = {row.slug: row for row in MCPServer.objects.all()}
        migration.show_keys(apps, None)
        back = dict(MCPServer.objects.values_list("slug", "url"))
    assert {slug: url_of(row) for slug, row in rows.items()} == {
        "keyed": keyed,
        "plain": "https://x.example/mcp",
        "gone": "https://x.example/mcp?key=…",
    }
    assert {row.url for row in rows.values()} == {"https://x.example/mcp", "https://x.example/mcp?key=…"}
    assert not rows["plain"].sealed_url
    assert (back["keyed"], back["plain"]) == (keyed, "https://x.example/mcp")
