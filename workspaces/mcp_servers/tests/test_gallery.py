"""Each server of the gallery can be installed with the data of its entry."""

import re

from workspaces.mcp_servers.gallery import gallery_by_category, read_gallery
from workspaces.mcp_servers.inputs import ServerInput
from workspaces.mcp_servers.models import MCPServer


def test_every_entry_can_be_installed() -> None:
    for entry in read_gallery():
        assert entry.auth in MCPServer.Auth.values, entry.slug
        assert entry.transport in MCPServer.Transport.values, entry.slug
        assert entry.url.startswith("https://"), entry.slug
        assert entry.docs.startswith("https://"), entry.slug
        assert re.fullmatch(r"[A-Z][^\n]{5,89}\.", entry.about), entry.slug
        is_keyed = entry.auth == MCPServer.Auth.HEADER
        assert bool(entry.key_hint) >= is_keyed, entry.slug
        ServerInput(
            slug=entry.slug,
            name=entry.name,
            url=entry.url,
            transport=entry.transport,
            auth=entry.auth,
            header_name=entry.header_name,
            header_value="Bearer key" if is_keyed else "",
        ).check()


def test_slugs_are_unique() -> None:
    slugs = [entry.slug for entry in read_gallery()]
    assert len(set(slugs)) == len(slugs) == sum(map(len, gallery_by_category().values()))
