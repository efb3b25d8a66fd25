"""Describes a user agent in plain words."""

import re

# The first match counts. Browsers name each other, so the more specific ones come first.
PROGRAMS = [
    (r"Switchyard", "Switchyard app"),
    (r"Electron/", "Desktop app"),
    (r"Edg(e|A|iOS)?/", "Edge"),
    (r"OPR/|Opera", "Opera"),
    (r"Vivaldi/", "Vivaldi"),
    (r"SamsungBrowser/", "Samsung Internet"),
    (r"Firefox/|FxiOS/", "Firefox"),
    (r"Chrome/|CriOS/|Chromium/", "Chrome"),
    (r"Safari/", "Safari"),
    (r"curl/", "curl"),
    (r"python-|okhttp|node|Go-http", "A program"),
]
SYSTEMS = [
    (r"iPhone", "iPhone"),
    (r"iPad", "iPad"),
    (r"Android", "Android"),
    (r"Windows", "Windows"),
    (r"Mac OS X|Macintosh|Darwin", "Mac"),
    (r"CrOS", "ChromeOS"),
    (r"Linux|X11", "Linux"),
]
HANDHELD = re.compile(r"iPhone|iPad|Android|Mobile")


def device_of(user_agent: str) -> str:
    """As in `Firefox on Windows`; `Unknown device` if nothing matches."""
    program, system = _first(PROGRAMS, user_agent), _first(SYSTEMS, user_agent)
    if program and system:
        return f"{program} on {system}"
    return program or system or "Unknown device"


def is_handheld(user_agent: str) -> bool:
    return HANDHELD.search(user_agent) is not None


def _first(known: list[tuple[str, str]], user_agent: str) -> str:
    return next((name for pattern, name in known if re.search(pattern, user_agent)), "")
