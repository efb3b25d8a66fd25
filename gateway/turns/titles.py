"""The title of a conversation until it is renamed."""

TITLE_LENGTH = 80
UNTITLED = "Untitled"


def title_of(message: str) -> str:
    """The first line of a conversation's first message."""
    lines = message.strip().splitlines()
    line = " ".join(lines[0].split()) if lines else UNTITLED
    return line if len(line) <= TITLE_LENGTH else line[: TITLE_LENGTH - 1].rstrip() + "…"
