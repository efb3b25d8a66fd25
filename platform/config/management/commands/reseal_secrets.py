"""`manage.py reseal_secrets`: seals every secret anew under the newest key, so that older ones can go."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from allauth.mfa.models import Authenticator
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.db.models import Model

from accounts.models import EngineAccount, OutgoingMail, Tenant
from accounts.sign_in.mfa import SEALED
from gateway.models import EngineServer, Image
from kit.secrets import SecretUnreadable, reseal
from kit.tenancy import tenant_scope
from workspaces.language_models.models import ProviderCredential
from workspaces.mcp_servers.models import MCPServer, MCPSignIn, PendingSignIn

BATCH = 200
IMAGES = 10  # at a time, of some megabytes each
TENANTS: dict[str, list[tuple[type[Model], str]]] = {
    "providers' credentials": [(ProviderCredential, "sealed_key")],
    "MCP servers' secrets": [
        (MCPServer, "sealed_header"),
        (MCPServer, "sealed_client"),
        (MCPServer, "sealed_url"),
        (MCPSignIn, "sealed_access"),
        (MCPSignIn, "sealed_refresh"),
        (PendingSignIn, "sealed_verifier"),
    ],
    "addresses of MCP servers at engines": [(EngineServer, "sealed_secret")],
    "images": [(Image, "sealed")],
}


@dataclass(slots=True)
class Tally:
    """How many were sealed anew, and how the ones are found that could not be read."""

    sealed: int
    unreadable: list[str]

    def add(self, other: "Tally", place: str) -> None:
        self.sealed += other.sealed
        self.unreadable += [f"{place}: {name}" for name in other.unreadable]


class Command(BaseCommand):
    help = (
        "Encrypts every key, token and password again with the first of "
        "ENCRYPTION_KEYS. Can be repeated, and run while people work. Restart every process with the new key "
        "first, before you run it. Remove the old key when nothing is reported as unreadable."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        accounts = _reseal_all(EngineAccount, "sealed_password")
        self._tell("engine accounts", accounts)
        mail = _reseal_all(OutgoingMail, "sealed_message")
        self._tell("queued emails", mail)
        steps = _reseal_steps()
        self._tell("authenticators", steps)
        of_tenants = {what: Tally(0, []) for what in TENANTS}
        for tenant in Tenant.objects.order_by("id").iterator(BATCH):
            with tenant_scope(tenant.ref):
                for what, columns in TENANTS.items():
                    for model, field in columns:
                        of_tenants[what].add(_reseal_all(model, field), tenant.slug)
        for what, tally in of_tenants.items():
            self._tell(what, tally)
        tallies = (accounts, mail, steps, *of_tenants.values())
        if lost := sum(len(tally.unreadable) for tally in tallies):
            raise CommandError(f"{lost} cannot be read with any of ENCRYPTION_KEYS and were left unchanged.")

    def _tell(self, what: str, tally: Tally) -> None:
        self.stdout.write(f"Encrypted again: {tally.sealed} {what}.")
        for name in tally.unreadable:
            self.stdout.write(f"Unreadable: {name}")


def _reseal_all(model: type[Model], field: str) -> Tally:
    """Every row of the table that holds a secret, in batches of a transaction each, in the order of ids."""
    tally, after = Tally(0, []), None
    while batch := _reseal_batch(model, field, after, tally):
        after = batch[-1].pk
    return tally


def _reseal_steps() -> Tally:
    """Secrets of authenticator apps and recovery codes stand inside JSON; a person has two at most."""
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


def _reseal_batch(model: type[Model], field: str, after: UUID | None, tally: Tally) -> list[Model]:
    """The batch; none at the end. Its rows are locked, so that a key that is changed now is not lost."""
    with transaction.atomic():
        rows = model._default_manager.select_for_update().exclude(**{field: ""}).order_by("pk")
        most = IMAGES if model is Image else BATCH
        batch = list((rows.filter(pk__gt=after) if after else rows)[:most])
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
