"""What templates ask about the account of whoever sees them."""

from django import template

from accounts.models import User
from accounts.users import is_verified

register = template.Library()


@register.filter
def has_proved_address(user: User) -> bool:
    """Whether the person confirmed the account's own address."""
    return is_verified(user)
