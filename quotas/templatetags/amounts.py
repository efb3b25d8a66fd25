"""Amounts of tokens, money, requests and turns in templates."""

from decimal import Decimal

from django import template

from quotas.amounts import amount_text, money_text
from quotas.models import Budget
from quotas.prices import MILLION

register = template.Library()
WINDOWS = {
    Budget.Window.MINUTE: "per minute",
    Budget.Window.DAY: "per day",
    Budget.Window.MONTH: "per month",
    Budget.Window.TOTAL: "in total",
    Budget.Window.AT_ONCE: "concurrently",
}


@register.filter
def amount(value: int, metric: str) -> str:
    """`{{ row.used|amount:row.metric }}`: `12,500 tokens`, `USD 1.25`."""
    return amount_text(metric, int(value))


@register.filter
def figure(value: int, metric: str) -> str:
    """The amount without its unit."""
    return money_text(int(value)) if metric == Budget.Metric.COST else f"{int(value):,}"


@register.filter
def plain(value: int, metric: str) -> str:
    """The value for a form field: without separators, and cost with only its own decimals."""
    return f"{(Decimal(value) / MILLION).normalize():f}" if metric == Budget.Metric.COST else str(value)


@register.filter
def money(value: int) -> str:
    """Millionths as an amount in the currency, with its name."""
    return amount_text(Budget.Metric.COST, int(value))


@register.filter
def window(name: str) -> str:
    return WINDOWS[Budget.Window(name)]
