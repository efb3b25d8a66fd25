"""The gallery of well-known MCP servers, kept as data beside this file."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FILE = Path(__file__).with_name("gallery.json")


@dataclass(frozen=True, slots=True)
class GalleryEntry:
    """A server that anybody may install; `key_hint` says what its header's value looks like."""

    slug: str
    name: str
    about: str
    url: str
    auth: str
    docs: str
    category: str
    transport: str = "streamable_http"
    header_name: str = "Authorization"
    key_hint: str = ""


@cache
def read_gallery() -> tuple[GalleryEntry, ...]:
    return tuple(GalleryEntry(**entry) for entry in json.loads(FILE.read_text())["servers"])


def gallery_by_category() -> dict[str, list[GalleryEntry]]:
    """In the order in which the file has them."""
    shelves: dict[str, list[GalleryEntry]] = {}
    for entry in read_gallery():
        shelves.setdefault(entry.category, []).append(entry)
    return shelves


def find_entry(slug: str) -> GalleryEntry | None:
    return next((entry for entry in read_gallery() if entry.slug == slug), None)
