"""The form of one model: what it is asked with, who may use it, who stands in for it."""

from typing import Any
from uuid import UUID

from django import forms

from accounts.models import User, WorkspaceMember
from accounts.principals import Principal
from workspaces.language_models.model_access import Group
from workspaces.language_models.models import LanguageModel
from workspaces.language_models.queries import ModelRef, installed_models
from workspaces.language_models.services import EFFORTS

MOST_OFFERED = 200  # people in the lists of those who may or may not, beside those named; REST takes any
ROLES = WorkspaceMember.Role.choices
PLAIN = ("name", "enabled", "context_window", "output_bound", "fallback")


def ticks(label: str, choices: list[tuple[str, str]]) -> forms.MultipleChoiceField:
    return forms.MultipleChoiceField(
        label=label, choices=choices, required=False, widget=forms.CheckboxSelectMultiple
    )


class ModelForm(forms.Form):
    name = forms.CharField(label="Name", max_length=100)
    enabled = forms.BooleanField(label="Enabled", required=False)
    context_window = forms.IntegerField(
        label="Context window (tokens)",
        min_value=2,
        max_value=2**31 - 1,
        help_text="How much of the conversation the model can read.",
    )
    output_bound = forms.IntegerField(
        label="Default reply limit (tokens)",
        min_value=1,
        max_value=2**31 - 1,
        help_text="Used when a request sets no limit.",
    )
    fallback = forms.ChoiceField(
        label="Fallback model", choices=[], required=False, help_text="Used if the provider fails."
    )
    abilities = ticks("Capabilities", LanguageModel.Ability.choices)
    temperature = forms.FloatField(
        label="Temperature",
        min_value=0,
        max_value=2,
        required=False,
        help_text="Leave empty to use the provider's default.",
    )
    top_p = forms.FloatField(
        label="Top p",
        min_value=0,
        max_value=1,
        required=False,
        help_text="Leave empty to use the provider's default.",
    )
    reasoning_effort = forms.ChoiceField(
        label="Reasoning",
        choices=[("", "Provider's default"), *((one, one) for one in EFFORTS)],
        required=False,
    )
    allow_roles = ticks("Allowed roles", ROLES)
    everybody = forms.BooleanField(label="Open to everyone if nothing is selected above", required=False)
    deny_roles = ticks("Denied roles", ROLES)
    allow_members = ticks("Allowed members", [])
    deny_members = ticks("Denied members", [])

    def __init__(self, principal: Principal, model: ModelRef, data: Any) -> None:
        super().__init__(data, initial=_initial(model))
        fields: dict[str, Any] = self.fields
        others = [row for row in installed_models(workspace_id=principal.workspace.id) if row.id != model.id]
        fields["fallback"].choices = [("", "None"), *((row.slug, row.name) for row in others)]
        fields["context_window"].disabled = model.provider == LanguageModel.Provider.LOCAL
        people = _people(principal, model.access.named)
        for name in ("allow_members", "deny_members"):
            fields[name].choices = people
        if model.access.allow.is_empty:
            del fields["everybody"]  # it is open to them

    def clean(self) -> None:
        """Whoever unticks the last who may use it is asked whether everybody is to."""
        if not self.errors and self.cleaned_data.get("everybody") is False and self._group("allow").is_empty:
            told = "Nothing is selected, so everyone could use this model. Select this to confirm."
            self.add_error("everybody", told)

    def wish(self) -> dict[str, Any]:
        sent = self.cleaned_data
        named = ("temperature", "top_p", "reasoning_effort")
        return {
            **{name: sent[name] for name in (*PLAIN, "abilities")},
            "parameters": {name: sent[name] for name in named if sent[name] not in (None, "")},
            "access": {side: self._group(side) for side in ("allow", "deny")},
        }

    def _group(self, kind: str) -> Group:
        sent = self.cleaned_data
        members = frozenset(UUID(member) for member in sent[f"{kind}_members"])
        return Group(frozenset(sent[f"{kind}_roles"]), members)


def _initial(model: ModelRef) -> dict[str, Any]:
    access = model.access.as_data()
    return {
        **{name: getattr(model, name) for name in PLAIN},
        **model.parameters,
        "abilities": sorted(model.abilities),
        **{f"{kind}_{who}": access[kind][who] for kind in access for who in access[kind]},
    }


def _people(principal: Principal, named: frozenset[UUID]) -> list[tuple[str, str]]:
    """Some of the members, and all who are named, also who left: what a form does not offer, it loses."""
    inside = WorkspaceMember.objects.filter(workspace=principal.workspace.id).select_related("user")
    rows = [*inside.order_by("user__name", "id")[:MOST_OFFERED], *inside.filter(user__in=named)]
    here = {row.user_id: row.user.label for row in rows}
    left = {user.id: user.label for user in User.objects.filter(id__in=named - here.keys())}
    gone = {one: f"{left.get(one, 'Unknown')} (no longer a member)" for one in sorted(named - here.keys())}
    return [(str(one), label) for one, label in {**here, **gone}.items()]
