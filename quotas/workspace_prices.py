"""A workspace's own prices of its models, which override the operators' list."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.audit import services as audit
from accounts.policy import Action, expect
from accounts.principals import Principal
from accounts.teams.members import acting
from kit.errors import Conflict, InvalidInput
from quotas.models import Price
from quotas.models.prices import MOST_PRICE
from quotas.prices import Rates

KINDS = ("input", "cached_input", "output", "reasoning")


def set_price(
    *,
    principal: Principal,
    model: str,
    input: int,
    output: int,
    cached_input: int | None = None,
    reasoning: int | None = None,
    effective_from: datetime | None = None,
) -> Price:
    """Sets a price from now on, or from a later moment, in millionths of the currency per million tokens.

    InvalidInput for a price out of range or in the past; calls that are already held keep theirs.
    """
    figures = {"input": input, "cached_input": cached_input, "output": output, "reasoning": reasoning}
    now = timezone.now()
    wrong = {
        name: [f"The price must be between 0 and {MOST_PRICE:,}."]
        for name, price in figures.items()
        if price is not None and not 0 <= price <= MOST_PRICE
    }
    if effective_from is not None and effective_from < now:
        wrong["effective_from"] = ["A price must start now or later. Past usage keeps its old price."]
    if wrong:
        raise InvalidInput(**wrong)
    with acting(principal, Action.BUDGETS_TEAM) as actor:
        before = prices_of(principal, model).filter(effective_from__lte=now).first()
        price = _create(principal.workspace.id, model, effective_from or now, figures)
        audit.record(
            "price.set",
            principal=actor,
            target=model,
            changes={
                name: [getattr(before, name) if before else None, after] for name, after in figures.items()
            },
            effective_from=price.effective_from.isoformat(),
        )
    return price


def seed_price(*, workspace_id: UUID, model: str, provider: str, upstream_name: str, **figures: int) -> None:
    """Sets the catalogue's price of a newly installed model, if neither operators nor the team have one."""
    if not rates_in_force(workspace_id, [(model, provider, upstream_name)]):
        _create(workspace_id, model, timezone.now(), {name: figures.get(name) for name in KINDS})


def forget_prices(*, workspace_id: UUID, model: str) -> int:
    """Deletes the workspace's prices of a model that was removed or points elsewhere, so that the next model
    with its slug is not billed by them. Returns how many there were."""
    deleted, _ = Price.objects.filter(workspace=workspace_id, model=model).delete()
    return deleted


def prices_of(principal: Principal, model: str) -> QuerySet[Price]:
    """The workspace's own prices of a model, the latest first."""
    expect(principal, Action.MODELS_VIEW)
    return Price.objects.filter(workspace=principal.workspace.id, model=model).order_by("-effective_from")


def rates_in_force(workspace_id: UUID, models: Iterable[tuple[str, str, str]]) -> dict[str, Rates]:
    """The current price of each model, by slug; models without one are missing. One read.

    Each model is given as (slug, provider, its name at the provider).
    """
    models = list(models)
    listed = Q()
    for slug, provider, upstream in models:
        listed |= Q(workspace=workspace_id, provider="", model=slug)
        listed |= Q(workspace=None, provider=provider, model=upstream)
    if not models:
        return {}
    in_force = Price.objects.filter(listed, effective_from__lte=timezone.now())
    # DISTINCT ON: the latest price of each model.
    rows = in_force.order_by("workspace_id", "provider", "model", "-effective_from")
    latest = {
        (row.provider, row.model): Rates(
            input=row.input,
            cached_input=row.input if row.cached_input is None else row.cached_input,
            output=row.output,
            reasoning=row.output if row.reasoning is None else row.reasoning,
        )
        for row in rows.distinct("workspace_id", "provider", "model")
    }
    found = {slug: latest.get(("", slug)) or latest.get((kind, name)) for slug, kind, name in models}
    return {slug: rates for slug, rates in found.items() if rates is not None}


def _create(workspace_id: UUID, model: str, moment: datetime, figures: dict[str, int | None]) -> Price:
    try:
        with transaction.atomic():
            return Price.objects.create(
                workspace_id=workspace_id, model=model, effective_from=moment, **figures
            )
    except IntegrityError as exc:
        raise Conflict("A price with this start time already exists.") from exc
