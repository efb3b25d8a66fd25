"""Whether a User-Agent is a browser's, as decided by LibreChat with ua-parser-js: a known name and version.

The patterns are an allow-list of browsers in use, each no wider than that of ua-parser-js 1.0.37; a slow test
compares them with the package itself.
"""

import re

LONGEST = 500  # characters: ua-parser-js reads no more
KNOWN = [
    re.compile(pattern, re.IGNORECASE | re.ASCII)
    for pattern in (
        r"edg(?:e|ios|a)?/[\w.]+",
        r"\bopr/[\w.]+",
        r"\b(?:crmo|crios)/[\w.]+",
        r"(?:vivaldi|brave|silk|duckduckgo|epiphany|falkon)/[-\w.]+",
        r"samsungbrowser/[\w.]+",
        r"fxios/[-\w.]+",
        r"headlesschrome(?:/[\w.]+| )",
        r"chrom(?:e|ium)/v?[\w.]+",
        r"version/[\w.,]+ .*(?:mobile/\w+ )?safari",
        r"firefox/[\w.]+",
        r"mozilla/[\w.]+ .+rv:.+gecko/\d+",
        r"trident.+rv[: ][\w.]{1,9}\b.+like gecko",
    )
]


def is_browser(user_agent: str) -> bool:
    return any(pattern.search(user_agent[:LONGEST]) for pattern in KNOWN)
