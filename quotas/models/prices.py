"""Prices of models, each from a date on."""

from typing import ClassVar
from uuid import uuid4

from django.db import models
from django.db.models import Q

from accounts.models import Workspace

MOST_PRICE = 10**11  # 100,000 of the currency per million tokens


class Price(models.Model):
    """In millionths of the currency per million tokens: 2,500,000 is 2.50. In force until a later one begins.

    An operator's price has the provider and its name for the model; a workspace's own has the model's slug
    and takes precedence. Without their own price, cached input costs as much as input, reasoning as output.
    """

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    workspace = models.ForeignKey(
        Workspace, null=True, blank=True, editable=False, on_delete=models.CASCADE, related_name="prices"
    )
    provider = models.CharField(
        max_length=20, blank=True, help_text="For example openai; empty for a workspace's own price"
    )
    model = models.CharField(
        max_length=100, help_text="The model's ID at the provider; the slug for a workspace's own price"
    )
    input = models.BigIntegerField()
    cached_input = models.BigIntegerField(null=True, blank=True)
    output = models.BigIntegerField()
    reasoning = models.BigIntegerField(null=True, blank=True)
    effective_from = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["model", "-effective_from"]
        constraints = [
            models.UniqueConstraint(
                fields=["model", "provider", "workspace", "effective_from"],
                name="one_price_at_a_time",
                nulls_distinct=False,
            ),
            *(
                models.CheckConstraint(
                    condition=Q(**{f"{name}__gte": 0, f"{name}__lte": MOST_PRICE}) | Q(**{name: None}),
                    name=f"price_of_{name}_makes_sense",
                )
                for name in ("input", "cached_input", "output", "reasoning")
            ),
            models.CheckConstraint(
                condition=Q(workspace=None) & ~Q(provider="") | Q(workspace__isnull=False, provider=""),
                name="price_is_an_operators_or_a_workspaces",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model} from {self.effective_from:%Y-%m-%d}"
