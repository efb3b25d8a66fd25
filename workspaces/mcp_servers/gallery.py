"""The gallery of well-known MCP servers, read from `gallery.json`."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FILE = Path(__file__).with_name("gallery.json")


@dataclass(frozen=True, slots=True)
class GalleryEntry:
    """A well-known server; `key_hint` describes the format of its header's value."""

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
    """In the file's order."""
    categories: dict[str, list[GalleryEntry]] = {}
    for entry in read_gallery():
        categories.setdefault(entry.category, []).append(entry)
    return categories


def find_entry(slug: str) -> GalleryEntry | None:
    return next((entry for entry in read_gallery() if entry.slug == slug), None)
