"""Recognises links in names, so that no mail contains a link that a stranger wrote into a name."""

import re
import unicodedata

# What mail programs turn into links: @, a scheme, www, a dot between letters, an IP address. The two dots are
# those that domains may have (IDNA); NFKC has mapped the others to them.
LINK = re.compile(r"@|\w:\S|\bwww\b|\w[.。][^\W\d_]{2}|\d+(?:[.。]\d+){3}", re.IGNORECASE)
INVISIBLE = {"Cc", "Cf", "Co", "Cn", "Zl", "Zp"}  # controls, zero-width and bidirectional marks


def is_plain(name: str) -> bool:
    """False for a name with an address, a URL or @, even if lookalikes or invisible characters hide it."""
    plain = unicodedata.normalize("NFKC", name)
    visible = "".join(c for c in plain if c.isspace() or unicodedata.category(c) not in INVISIBLE)
    return LINK.search(visible) is None
