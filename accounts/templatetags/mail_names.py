"""Names that people chose, as mails show them."""

from django import template

from accounts.mail.names import is_plain

register = template.Library()


@register.filter
def is_plain_name(name: str) -> bool:
    return is_plain(str(name))


@register.filter
def plain_name(name: str, instead: str) -> str:
    """The name on one line; `instead` for a name that a mail client would turn into a link."""
    text = " ".join(str(name).split())
    return text if text and is_plain(text) else instead
