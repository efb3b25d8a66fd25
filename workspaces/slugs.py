"""What a slug may not look like, whatever it names."""

from uuid import UUID


def is_like_an_id(slug: str) -> bool:
    """Whether it would be taken for an id where either may be given, with hyphens or without."""
    try:
        UUID(slug)
    except ValueError:
        return False
    return True
