"""Audits operators' changes in the admin, in the transaction of the change."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.contrib import admin
from django.db import models, transaction
from django.forms import BaseModelFormSet, ModelForm
from django.http import HttpRequest, HttpResponse

from accounts.audit import services as audit
from accounts.models import Membership, Tenant, Workspace, WorkspaceMember

Changes = audit.Changes


@dataclass(frozen=True, slots=True)
class RowChange:
    """A changed row: what was done to it, and its fields as `[old, new]`."""

    verb: str
    row: models.Model
    changes: Changes = field(default_factory=dict)


class ChangeMessage(list[Any]):
    """Django's own message, which has only names, with the values added."""

    changes: Changes
    rows: list[RowChange]


class AuditedAdmin(admin.ModelAdmin):
    """A ModelAdmin whose additions, changes and deletions are audited, those of its inlines too."""

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> ChangeMessage:
        message = ChangeMessage(super().construct_change_message(request, form, formsets, add))
        message.changes = changes_of(form)
        message.rows = [row for formset in formsets or [] for row in row_changes(formset)]
        return message

    def log_addition(self, request: HttpRequest, obj: models.Model, message: Any) -> Any:
        self._record(request, "added", obj, message)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: models.Model, message: Any) -> Any:
        self._record(request, "changed", obj, message)
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        for row in queryset:
            self._record_row(request, RowChange("deleted", row))
        return super().log_deletions(request, queryset)

    def response_action(self, *args: Any, **kwargs: Any) -> HttpResponse | None:
        """One transaction for the action and its audit entries; Django opens none here."""
        with transaction.atomic():
            return super().response_action(*args, **kwargs)

    def audit_scope(self, request: HttpRequest, row: models.Model) -> dict[str, Any]:
        """The tenant and workspace that a row belongs to."""
        return scope_of(row)

    def _record(self, request: HttpRequest, verb: str, obj: models.Model, message: Any) -> None:
        if not isinstance(message, ChangeMessage):
            self._record_row(request, RowChange(verb, obj))
            return
        if message.changes or verb == "added":
            self._record_row(request, RowChange(verb, obj, message.changes))
        for row in message.rows:
            self._record_row(request, row)

    def _record_row(self, request: HttpRequest, change: RowChange) -> None:
        kind = str(change.row._meta.verbose_name).replace(" ", "_")
        audit.record(
            f"{kind}.{change.verb}",
            actor_id=request.user.pk,
            target=target_of(change.row),
            via="admin",
            changes=change.changes,
            **self.audit_scope(request, change.row),
        )


def changes_of(form: ModelForm) -> Changes:
    """The changed fields of a valid form as `[old, new]`, as JSON values and without secrets."""
    return {name: _old_and_new(form, name) for name in form.changed_data}


def _old_and_new(form: ModelForm, name: str) -> list[Any]:
    # The form that sets a password reports a field "password" that it does not have.
    if audit.is_secret(name) or name not in form.cleaned_data:
        return [audit.MASK, audit.MASK]
    return [_plain(form.get_initial_for_field(form.fields[name], name)), _plain(form.cleaned_data[name])]


def row_changes(formset: BaseModelFormSet) -> Iterator[RowChange]:
    """The changes of a saved formset."""
    form_of = {id(form.instance): form for form in formset.forms}
    for row in formset.new_objects:
        yield RowChange("added", row, changes_of(form_of[id(row)]))
    for row, _ in formset.changed_objects:
        yield RowChange("changed", row, changes_of(form_of[id(row)]))
    for row in formset.deleted_objects:
        yield RowChange("deleted", row)


def target_of(row: models.Model) -> str:
    """A row's name in the audit: members by address, everything else by its own name."""
    return row.user.email if isinstance(row, Membership | WorkspaceMember) else str(row)


def scope_of(row: models.Model) -> dict[str, Any]:
    match row:
        case Tenant():
            return {"tenant_id": row.id}
        case Workspace():
            return {"tenant_id": row.tenant_id, "workspace_id": row.id}
        case WorkspaceMember():
            return {"tenant_id": row.workspace.tenant_id, "workspace_id": row.workspace_id}
    return {name: getattr(row, name) for name in ("tenant_id", "workspace_id") if getattr(row, name, None)}


def _plain(value: Any) -> Any:
    if isinstance(value, bool | int | float | None):
        return value
    if isinstance(value, Sequence | models.QuerySet) and not isinstance(value, str):
        return sorted(str(item) for item in value)
    return str(value)
