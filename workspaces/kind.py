"""What a kind declares about itself. A kind is something that a workspace holds, such as prompts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from django.contrib.admin import ModelAdmin
from django.db.models import Model, QuerySet
from django.urls import URLPattern


@dataclass(frozen=True, slots=True)
class Table:
    """A table in the tenant's schema, and how its rows lead to their workspace."""

    model: type[Model]
    workspace: str = "workspace_id"  # the lookup from a row to its workspace's id; empty: it has none
    sealed: tuple[str, ...] = ()  # encrypted columns: resealed with a new key, never exported
    batch: int = 0  # rows to reseal in one transaction; 0: as many as usual

    def rows(self, workspace_id: UUID) -> QuerySet[Model]:
        return self.model._default_manager.filter(**{self.workspace: workspace_id})

    @property
    def exported(self) -> tuple[str, ...]:
        """The columns that an export may contain: all but the encrypted ones."""
        names = (column.attname for column in self.model._meta.concrete_fields)
        return tuple(name for name in names if name not in self.sealed)


@dataclass(frozen=True, slots=True)
class RailEntry:
    """A kind's link in the rail, where entries are sorted by `position`."""

    label: str
    icon: str  # of templates/icons.html
    position: int
    url_name: str


class ForgetMember(Protocol):
    def __call__(self, *, workspace_id: UUID, user_id: UUID) -> None: ...


class ForgetPerson(Protocol):
    def __call__(self, *, user_id: UUID) -> int: ...


@dataclass(frozen=True, slots=True)
class Kind:
    """All that code outside a kind's folder knows of it; `workspaces/kinds.py` lists the kinds."""

    name: str  # the first segment of its pages, and its word in REST and in the audit
    rail: RailEntry
    api: list[URLPattern]  # below /v1/
    pages: list[URLPattern]  # below /t/<tenant>/w/<workspace>/
    # Children before their parents: what a deleted workspace loses, an erasure deletes and an export reads.
    tables: tuple[Table, ...]
    admin: Mapping[type[Model], type["ModelAdmin[Any]"]]
    site: list[URLPattern] = field(default_factory=list)  # pages outside any workspace
    secrets: str = ""  # what its encrypted columns hold, as `reseal_secrets` reports them
    # A member left the workspace: what is theirs in it goes immediately.
    forget_member: ForgetMember | None = None
    # Someone left the team and the grace period is over: what was private goes. Returns how many rows.
    forget_person: ForgetPerson | None = None

    def delete_rows(self, workspace_id: UUID) -> None:
        """Deletes the workspace's rows, inside the tenant's schema and a transaction."""
        for table in self.tables:
            table.rows(workspace_id).delete()
