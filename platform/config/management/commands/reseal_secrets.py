"""`manage.py reseal_secrets`: encrypts every secret again with the newest key, so that older ones can go."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from allauth.mfa.models import Authenticator
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.db.models import Model

from accounts.models import EngineAccount, OutgoingMail, Tenant
from accounts.sign_in.mfa import SEALED
from gateway.tables import ENGINE_SERVERS, IMAGES
from kit.secrets import SecretUnreadable, reseal
from kit.tenancy import tenant_scope
from workspaces.kind import Table
from workspaces.kinds import KINDS

BATCH = 200
TENANT_TABLES: dict[str, tuple[Table, ...]] = {
    **{kind.secrets: kind.tables for kind in KINDS if kind.secrets},
    "addresses of MCP servers at engines": (ENGINE_SERVERS,),
    "images": (IMAGES,),
}


@dataclass(slots=True)
class Tally:
    """How many were resealed, and the names of those that could not be read."""

    sealed: int
    unreadable: list[str]

    def add(self, other: "Tally", tenant: str) -> None:
        self.sealed += other.sealed
        self.unreadable += [f"{tenant}: {name}" for name in other.unreadable]


class Command(BaseCommand):
    help = (
        "Encrypts every key, token and password again with the first of ENCRYPTION_KEYS. Can be repeated, "
        "and run while people work. First restart every process with the new key in front. Remove the old "
        "key when nothing is unreadable any more."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        accounts = _reseal_all(EngineAccount, "sealed_password")
        self._report("engine accounts", accounts)
        mail = _reseal_all(OutgoingMail, "sealed_message")
        self._report("queued emails", mail)
        steps = _reseal_steps()
        self._report("authenticators", steps)
        of_tenants = {what: Tally(0, []) for what in TENANT_TABLES}
        for tenant in Tenant.objects.order_by("id").iterator(BATCH):
            with tenant_scope(tenant.ref):
                for what, tables in TENANT_TABLES.items():
                    for table in tables:
                        for field in table.sealed:
                            of_tenants[what].add(_reseal_all(table.model, field, table.batch), tenant.slug)
        for what, tally in of_tenants.items():
            self._report(what, tally)
        tallies = (accounts, mail, steps, *of_tenants.values())
        if lost := sum(len(tally.unreadable) for tally in tallies):
            raise CommandError(f"{lost} cannot be read with any of ENCRYPTION_KEYS and were left unchanged.")

    def _report(self, what: str, tally: Tally) -> None:
        self.stdout.write(f"Encrypted again: {tally.sealed} {what}.")
        for name in tally.unreadable:
            self.stdout.write(f"Unreadable: {name}")


def _reseal_all(model: type[Model], field: str, size: int = 0) -> Tally:
    """Every row of the table that holds a secret, in the order of ids, one transaction for each batch."""
    tally, after = Tally(0, []), None
    while batch := _reseal_batch(model, field, after, tally, size or BATCH):
        after = batch[-1].pk
    return tally


def _reseal_steps() -> Tally:
    """Secrets of authenticator apps and recovery codes are inside JSON; a person has two at most."""
    tally = Tally(0, [])
    for pk in Authenticator.objects.order_by("pk").values_list("pk", flat=True).iterator(BATCH):
        with transaction.atomic():
            row = Authenticator.objects.select_for_update().filter(pk=pk).first()
            sealed = {name: row.data[name] for name in SEALED if name in row.data} if row else {}
            if row is None or not sealed:
                continue
            try:
                row.data = {**row.data, **{name: reseal(text) for name, text in sealed.items()}}
            except SecretUnreadable:
                tally.unreadable.append(f"second step {pk}")
                continue
            row.save(update_fields=["data"])
            tally.sealed += 1
    return tally


def _reseal_batch(model: type[Model], field: str, after: UUID | None, tally: Tally, size: int) -> list[Model]:
    """The batch; empty at the end. Its rows are locked, so that no concurrent change of a key is lost."""
    with transaction.atomic():
        rows = model._default_manager.select_for_update().exclude(**{field: ""}).order_by("pk")
        batch = list((rows.filter(pk__gt=after) if after else rows)[:size])
        fresh = [row for row in batch if _reseal(row, field, tally)]
        model._default_manager.bulk_update(fresh, [field])
    tally.sealed += len(fresh)
    return batch


def _reseal(row: Model, field: str, tally: Tally) -> bool:
    try:
        setattr(row, field, reseal(getattr(row, field)))
    except SecretUnreadable:
        name = getattr(row, "name", "")
        tally.unreadable.append(f"{row._meta.verbose_name} {row.pk} {name}".rstrip())
        return False
    return True
