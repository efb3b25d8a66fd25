"""Template filters for the account of the person who is signed in."""

from django import template

from accounts.models import User
from accounts.sign_in.operator_site import lacks_second_factor
from accounts.sign_in.users import is_verified

register = template.Library()


@register.filter
def has_proved_address(user: User) -> bool:
    """Whether the person confirmed the account's own address."""
    return is_verified(user)


@register.filter
def lacks_admin_factor(user: User) -> bool:
    """Whether an operator has no access to the admin until they set up a second factor."""
    return user.is_staff and lacks_second_factor(user)
