"""Writes the audit: an entry for each change of accounts and access, and for each refusal.

Called in the transaction of the change, so that neither exists without the other.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec
from uuid import UUID

from django.db.models import Model

from accounts.models import AuditEntry, User
from accounts.principals import Principal
from kit import request_origin

# A field whose name has one of these words is recorded as changed, without its values.
SECRET_WORDS = {"password", "password1", "password2", "secret", "token", "key", "credential", "credentials"}
MASK = "***"
Changes = dict[str, list[Any]]  # {field: [before, after]}
Fields = ParamSpec("Fields")


def change(row: Model, wanted: Mapping[str, Any], fields: Iterable[str]) -> Changes:
    """Sets the row's `fields` to the wanted values and returns what changed, for the entry.

    None leaves a field as it is. If nothing changed, the caller saves nothing and writes no entry.
    """
    changes: Changes = {}
    for name in fields:
        before, after = getattr(row, name), wanted.get(name)
        if after is not None and after != before:
            changes[name] = [before, after]
            setattr(row, name, after)
    return changes


def entry_fields(
    action: str,
    *,
    principal: Principal | None = None,
    actor_id: UUID | None = None,
    actor_email: str = "",
    tenant_id: UUID | None = None,
    workspace_id: UUID | None = None,
    target: str = "",
    via: str = "",
    changes: Changes | None = None,
    of_tenant: bool = False,
    **details: Any,
) -> dict[str, Any]:
    """The fields of an AuditEntry for the current request.

    A principal gives actor, key and tenant, and the workspace unless the action is `of_tenant`: it concerns
    the whole team, whichever workspace the person is in.
    """
    origin = request_origin.current()
    if principal is not None:
        actor_id, actor_email = principal.user_id, principal.email
        tenant_id = principal.tenant.id
        workspace_id = workspace_id or (None if of_tenant else principal.workspace.id)
        via = via or ("key" if principal.api_key else "")
    elif actor_id is not None and not actor_email:
        actor_email = User.objects.filter(id=actor_id).values_list("email", flat=True).first() or ""
    return {
        "action": action,
        "actor_id": actor_id,
        "actor_email": actor_email,
        "tenant_id": tenant_id,
        "workspace_id": workspace_id,
        "via": via,
        "api_key": principal.api_key if principal else "",
        "target": target[:200],
        "changes": masked(changes or {}),
        "details": details,
        "address": origin.address,
        "request_id": origin.request_id,
    }


def _writer(fields_of: Callable[Fields, dict[str, Any]]) -> Callable[Fields, None]:
    def write(*args: Fields.args, **kwargs: Fields.kwargs) -> None:
        AuditEntry.objects.create(**fields_of(*args, **kwargs))

    return write


# Adds an entry for the current request, of the fields above; for refusals: `refusals.record_refusal`.
record = _writer(entry_fields)


def masked(changes: Changes) -> Changes:
    return {name: [MASK, MASK] if is_secret(name) else values for name, values in changes.items()}


def is_secret(name: str) -> bool:
    return not SECRET_WORDS.isdisjoint(name.lower().split("_"))
