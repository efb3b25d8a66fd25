"""Stores and changes the credentials of a workspace at model providers; each change is audited."""

from urllib.parse import urlsplit
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Count, QuerySet

from accounts.audit import services as audit
from accounts.principals import Principal
from kit.errors import Conflict, InvalidInput, NotFound
from kit.secrets import seal
from workspaces.language_models.inputs import CredentialChange, CredentialInput
from workspaces.language_models.installation import BASE_URLS, add_credential
from workspaces.language_models.models import ProviderCredential
from workspaces.language_models.probe import save_tested
from workspaces.language_models.queries import endpoint_ref, probe_ref

MOST_CREDENTIALS = 50  # of a workspace
Kind = ProviderCredential.Kind


def credentials_of(principal: Principal) -> QuerySet[ProviderCredential]:
    """Credentials of the workspace, with the number of models that use each."""
    rows = ProviderCredential.objects.filter(workspace_id=principal.workspace.id)
    return rows.annotate(models_count=Count("language_models")).order_by("name")


def find_credential(
    *, principal: Principal, credential_id: UUID, is_locked: bool = False
) -> ProviderCredential:
    """NotFound. Lock it to change or remove it, or to install a model that uses it."""
    rows = ProviderCredential.objects.filter(workspace_id=principal.workspace.id, id=credential_id)
    row = (rows.select_for_update() if is_locked else rows).first()
    if row is None:
        raise NotFound
    return row


def create_credential(*, principal: Principal, credential: CredentialInput) -> ProviderCredential:
    """InvalidInput by field; Conflict for a name that is taken."""
    return save_tested(
        is_tested=credential.test,
        principal=principal,
        save=lambda: save_credential(principal, credential),
        ref=endpoint_ref,
    )


@transaction.atomic
def save_credential(principal: Principal, credential: CredentialInput) -> ProviderCredential:
    """Without testing it."""
    check_key(credential.kind, credential.key)
    check_url(credential.base_url or BASE_URLS.get(Kind(credential.kind), ""))
    if credentials_of(principal).count() >= MOST_CREDENTIALS:
        raise Conflict(f"A workspace can have at most {MOST_CREDENTIALS} credentials.")
    row = add_credential(
        workspace_id=principal.workspace.id,
        name=credential.name,
        kind=credential.kind,
        key=credential.key,
        base_url=credential.base_url,
    )
    audit.record("provider_credential.added", principal=principal, target=row.name, kind=row.kind)
    return row


def check_key(kind: str, key: str) -> None:
    """InvalidInput for a malformed key; only compatible providers may have none."""
    is_printable = key.isascii() and key.isprintable() and " " not in key
    if (not key and kind != Kind.COMPATIBLE) or not is_printable:
        raise InvalidInput(key=["A key must be a single line of printable ASCII characters."])


def check_url(url: str) -> None:
    """InvalidInput for anything but the URL of an API."""
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and url.isprintable()
        _ = parts.port
    except ValueError:
        is_valid = False
    if not is_valid:
        raise InvalidInput(base_url=["Enter the URL of the provider's API, https://…"])
    if parts.username or parts.password:
        raise InvalidInput(base_url=["The URL must not contain a password. Enter it as the API key."])


def change_credential(
    *, principal: Principal, credential_id: UUID, change: CredentialChange
) -> ProviderCredential:
    """NotFound, InvalidInput by field, Conflict for a name that is taken. A new name alone is not tested."""
    is_new = change.key is not None or change.base_url is not None
    return save_tested(
        is_tested=change.test and is_new,
        principal=principal,
        save=lambda: _change_credential(principal, credential_id, change),
        ref=probe_ref,
    )


@transaction.atomic
def _change_credential(
    principal: Principal, credential_id: UUID, change: CredentialChange
) -> ProviderCredential:
    """A new address needs the key again: it must not be sent where its owner never meant it to go."""
    row = find_credential(principal=principal, credential_id=credential_id, is_locked=True)
    base_url = None if change.base_url is None else change.base_url.rstrip("/")
    if base_url not in (None, row.base_url):
        if change.key is None:
            raise InvalidInput(key=["Enter the key again to use it with a different address."])
        check_url(base_url or "")
    changes = audit.change(row, {"base_url": base_url, "name": change.name}, ("base_url", "name"))
    if change.key is not None:
        check_key(row.kind, change.key)
        row.sealed_key = seal(change.key) if change.key else ""
        changes["key"] = ["", ""]
    if not changes:
        return row
    try:
        with transaction.atomic():
            row.save(update_fields=["name", "base_url", "sealed_key", "updated_at"])
    except IntegrityError as exc:
        raise Conflict(f"A credential called {row.name} already exists.") from exc
    audit.record("provider_credential.changed", principal=principal, target=row.name, changes=changes)
    return row


@transaction.atomic
def remove_credential(*, principal: Principal, credential_id: UUID) -> None:
    """NotFound; Conflict, which names the models that still use it."""
    row = find_credential(principal=principal, credential_id=credential_id, is_locked=True)
    used = list(row.language_models.values_list("slug", flat=True)[:20])
    if used:
        raise Conflict(f"{row.name} is used by {', '.join(used)}.", models=used)
    row.delete()
    audit.record("provider_credential.removed", principal=principal, target=row.name)
