"""What a reply has besides its text: its sources and its images, read from a provider's own fields.

Providers write them in many ways. Anything that cannot be read, or that a page must not link to, is left out.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from gateway.providers.base import Extra, JsonObject
from gateway.providers.garbled import a_count, a_text, an_object, objects

MOST_SOURCES = 50  # per reply
MOST_IMAGES = 8  # per reply
LONGEST_URL = 2000  # characters
LONGEST_TITLE = 200  # characters


@dataclass(frozen=True, slots=True)
class ReplyExtras:
    """`sources` without duplicates, in order; `image_ids` of stored images; `image_urls` of remote ones."""

    sources: tuple[dict[str, str], ...] = ()  # url, title (may be empty)
    image_ids: tuple[UUID, ...] = ()
    image_sizes: tuple[tuple[int, int], ...] = ()  # of each, in pixels; 0 if unknown
    image_urls: tuple[str, ...] = ()
    lost_images: int = 0  # images that could not be stored

    def __bool__(self) -> bool:
        return bool(self.sources or self.image_ids or self.image_urls or self.lost_images)


def extras_of(extras: Iterable[Extra]) -> ReplyExtras:
    titles: dict[str, str] = {}
    images: dict[UUID, tuple[int, int]] = {}
    image_urls: dict[str, None] = {}
    lost = 0
    for extra in extras:
        if (extra.place, extra.name) == ("message", "images"):
            for image in objects(extra.value):
                if (image_id := _id_of(image)) is not None:
                    images[image_id] = a_count(image.get("width")), a_count(image.get("height"))
                elif url := safe_url(image_url(image)):
                    image_urls[url] = None
                else:
                    lost += 1
            continue
        for url, title in _sources(extra):
            if url in titles or len(titles) < MOST_SOURCES:
                titles[url] = titles.get(url) or title
    return ReplyExtras(
        sources=tuple({"url": url, "title": title} for url, title in titles.items()),
        image_ids=tuple(images)[:MOST_IMAGES],
        image_sizes=tuple(images.values())[:MOST_IMAGES],
        image_urls=tuple(image_urls)[:MOST_IMAGES],
        lost_images=lost,
    )


def extras_in(parts: Iterable[JsonObject]) -> ReplyExtras:
    """Likewise, of a stored reply."""
    return extras_of(
        Extra(part["place"], part["name"], part["value"]) for part in parts if part["type"] == "extra"
    )


def image_url(image: JsonObject) -> str:
    """The URL of an image as OpenRouter and Gemini send it; empty if there is none."""
    found = image.get("image_url")
    return a_text(found) or a_text(an_object(found).get("url"))


def safe_url(value: Any) -> str:
    """An absolute http or https URL without a password; empty for anything else."""
    url = a_text(value).strip()
    if len(url) > LONGEST_URL or any(ord(char) <= ord(" ") for char in url):
        return ""
    try:
        parts = urlsplit(url)
        is_safe = parts.scheme in {"http", "https"} and parts.hostname and "@" not in parts.netloc
    except ValueError:
        return ""
    return url if is_safe else ""


def host_of(url: str) -> str:
    return (urlsplit(url).hostname or "").removeprefix("www.")


def _sources(extra: Extra) -> Iterator[tuple[str, str]]:
    """URL and title of each."""
    match extra.place, extra.name:
        case "message", "annotations":
            found = [an_object(item.get("url_citation")) or item for item in objects(extra.value)]
        case "answer", "search_results":
            found = objects(extra.value)
        case "answer", "citations" if isinstance(extra.value, list):
            found = [item if isinstance(item, dict) else {"url": item} for item in extra.value]
        case _:
            found = []
    for item in found:
        if url := safe_url(item.get("url")):
            yield url, " ".join(a_text(item.get("title")).replace("\0", "").split())[:LONGEST_TITLE]


def _id_of(image: JsonObject) -> UUID | None:
    try:
        return UUID(a_text(image.get("image_id")))
    except ValueError:
        return None
