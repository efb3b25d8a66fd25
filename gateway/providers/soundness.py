"""Text from providers as PostgreSQL and every client can hold it: no NUL, no half of a surrogate pair."""

HIGH_SURROGATES = ("\ud800", "\udbff")
REPLACEMENT = "\ufffd"


def sound(text: str) -> str:
    """Joins surrogate pairs, and replaces what cannot be written as UTF-8 or stored."""
    joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return joined.replace("\0", REPLACEMENT)


class SoundText:
    """A stream of text whose pieces may cut an escaped emoji in two: the first half waits for the second."""

    def __init__(self) -> None:
        self._half = ""

    def add(self, piece: str) -> str:
        text, self._half = self._half + piece, ""
        if HIGH_SURROGATES[0] <= text[-1:] <= HIGH_SURROGATES[1]:
            text, self._half = text[:-1], text[-1]
        return sound(text)

    def end(self) -> str:
        """What is left when no second half has come."""
        return REPLACEMENT if self._half else ""
