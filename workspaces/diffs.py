"""What changed between two texts, line by line; a sign in front tells it, not colour alone."""

import difflib

KINDS = {"+": "added", "-": "removed", "@": "place"}


def diff_lines(before: list[str], after: list[str], context: int = 3) -> list[str]:
    """Lines of a unified diff, without its head."""
    return list(difflib.unified_diff(before, after, lineterm="", n=context))[2:]


def shown_diff(lines: list[str]) -> list[dict[str, str]]:
    """Each line with its kind: `added`, `removed`, `place`, or empty for what is the same."""
    return [{"text": line, "kind": KINDS.get(line[:1], "")} for line in lines]
