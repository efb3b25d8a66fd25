"""Amounts for people: tokens with separators, costs in the currency."""

from decimal import ROUND_HALF_UP, Decimal

from django.conf import settings

from quotas.models import Budget
from quotas.prices import MILLION

CENT, TENTH_OF_CENT = Decimal("0.01"), Decimal("0.0001")


def amount_text(metric: str, amount: int) -> str:
    """`12,500 tokens`, `USD 1.25`, `60 requests`, `3 turns`."""
    if metric == Budget.Metric.COST:
        return f"{settings.CURRENCY} {money_text(amount)}"
    unit = metric if amount != 1 else metric.removesuffix("s")
    return f"{amount:,} {unit}"


def money_text(millionths: int) -> str:
    """Two decimals, or four below one, so that a small cost is not shown as zero."""
    whole = Decimal(millionths) / MILLION
    step = CENT if abs(whole) >= 1 or not millionths else TENTH_OF_CENT
    shown = whole.quantize(step, ROUND_HALF_UP)
    return f"{shown:,}" if shown or not millionths else f"< {step}"
