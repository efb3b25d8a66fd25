"""A workspace's own prices of its models, which go before the operators' list."""

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
    place: Principal,
    model: str,
    input: int,
    output: int,
    cached_input: int | None = None,
    reasoning: int | None = None,
    effective_from: datetime | None = None,
) -> Price:
    """From now on, or from a later moment. Millionths of the currency for a million tokens.

    InvalidInput for a price that makes no sense or begins in the past; calls that were held keep theirs.
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
    with acting(place, Action.BUDGETS_TEAM) as actor:
        before = prices_of(place, model).filter(effective_from__lte=now).first()
        price = _create(place.workspace.id, model, effective_from or now, figures)
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
    """What a model that was just installed is listed to cost, where neither operators nor the team say."""
    if not rates_in_force(workspace_id, [(model, provider, upstream_name)]):
        _create(workspace_id, model, timezone.now(), {name: figures.get(name) for name in KINDS})


def prices_of(place: Principal, model: str) -> QuerySet[Price]:
    """The workspace's own of a model, the latest first."""
    expect(place, Action.MODELS_VIEW)
    return Price.objects.filter(workspace=place.workspace.id, model=model).order_by("-effective_from")


def rates_in_force(workspace_id: UUID, models: Iterable[tuple[str, str, str]]) -> dict[str, Rates]:
    """What each model costs now, by its slug; those without a price are missing. One read.

    Models are told as (slug, provider, its provider's name for it).
    """
    models = list(models)
    listed = Q()
    for slug, provider, upstream in models:
        listed |= Q(workspace=workspace_id, provider="", model=slug)
        listed |= Q(workspace=None, provider=provider, model=upstream)
    if not models:
        return {}
    in_force = Price.objects.filter(listed, effective_from__lte=timezone.now())
    # DISTINCT ON: the latest of each, whatever came before it.
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
