"""Forms to install models and to change one."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from django import forms

from accounts.models import User, WorkspaceMember
from accounts.principals import Principal
from kit.fields import UNCHANGED
from kit.inputs import form_field, read_form
from workspaces.language_models.catalogue import CatalogueProvider
from workspaces.language_models.credential_services import credentials_of
from workspaces.language_models.inputs import (
    EFFORTS,
    AccessInput,
    CatalogueInstallation,
    CredentialInput,
    GroupInput,
    ModelChange,
    ModelInput,
    ModelInstallation,
    Parameters,
)
from workspaces.language_models.models import LanguageModel
from workspaces.language_models.queries import ModelRef, installed_models
from workspaces.slugs import BUILT_IN_MODELS, LOCAL_EMBEDDING_MODEL

MOST_OFFERED = 200  # members in the lists of a form, besides those already named; REST accepts any
ROLES = WorkspaceMember.Role.choices
COPIED = ("name", "enabled", "context_window", "output_bound", "fallback", "upstream_name")
SIDES = ("allow", "deny")
CHAT_ONLY = ("output_bound", "fallback", "abilities", "temperature", "top_p", "reasoning_effort")
NEW, BUILT_IN = "new", "built-in"  # in place of a credential's id
PRICES_ARE_DELETED = "A new provider or ID deletes your own prices for this model."
PROVIDER_DEFAULT = "Leave empty to use the provider's default."
CONTEXT_WINDOW = "How much of the conversation the model can read."
REPLY_LIMIT = "Used when a request sets no limit."
STORED_ENCRYPTED = "Stored encrypted and never shown again."


def tick_boxes(label: str, choices: list[tuple[str, str]]) -> forms.MultipleChoiceField:
    return forms.MultipleChoiceField(
        label=label, choices=choices, required=False, widget=forms.CheckboxSelectMultiple
    )


def abilities_field() -> Any:
    return form_field(ModelInput, "abilities", label="Capabilities")


class InstallForm(forms.Form):
    """A model with an existing credential or a new one."""

    name = form_field(ModelInput, "name", label="Name", required=True)
    slug = form_field(
        ModelInput,
        "slug",
        label="API name",
        help_text="For example gpt-4o or openai/gpt-4o. Used in API calls.",
    )
    upstream_name = form_field(ModelInput, "upstream_name", label="Model ID at the provider")
    kind_of_model = form_field(
        ModelInput, "kind", label="Kind", required=False, help_text="What the model is used for."
    )
    context_window = form_field(
        ModelInput,
        "context_window",
        label="Context window (tokens)",
        initial=128_000,
        help_text=CONTEXT_WINDOW,
    )
    output_bound = form_field(
        ModelInput,
        "output_bound",
        label="Default reply limit (tokens)",
        initial=4_096,
        help_text=f"{REPLY_LIMIT} Chat models only.",
    )
    abilities = abilities_field()
    credential = forms.ChoiceField(label="Credential", choices=[])
    kind = form_field(CredentialInput, "kind", label="Provider", required=False)
    credential_name = form_field(CredentialInput, "name", label="Credential name", required=False)
    base_url = form_field(
        CredentialInput,
        "base_url",
        label="URL",
        help_text="The URL of the provider's API, https://… Leave empty for OpenAI and Anthropic.",
    )
    key = form_field(CredentialInput, "key", label="API key", help_text=STORED_ENCRYPTED)
    enabled = form_field(ModelInput, "enabled", label="Enable for everyone in this workspace now")
    test = form_field(ModelInstallation, "test", label="Test the connection before saving")

    def __init__(self, principal: Principal, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        known = [(str(row.id), row.name) for row in credentials_of(principal)]
        self.fields["credential"].choices = [(NEW, "New credential"), *known]  # type: ignore[attr-defined]

    def model(self) -> ModelInput:
        model = read_form(
            ModelInput, self, kind=self.cleaned_data["kind_of_model"] or LanguageModel.Kind.CHAT.value
        )
        if model.kind == LanguageModel.Kind.CHAT:
            return model
        return replace(model, output_bound=0)  # the field has a default

    def chosen_credential(self) -> UUID | CredentialInput:
        sent = self.cleaned_data
        if sent["credential"] != NEW:
            return UUID(sent["credential"])
        return CredentialInput(
            name=sent["credential_name"] or sent["name"],
            kind=sent["kind"] or "compatible",
            key=sent["key"],
            base_url=sent["base_url"],
        )


class CatalogueForm(forms.Form):
    """Which models of a provider, and with which key."""

    models = forms.MultipleChoiceField(label="Models", widget=forms.CheckboxSelectMultiple)
    credential_id = forms.TypedChoiceField(
        label="Saved key", choices=[], required=False, coerce=UUID, empty_value=None
    )
    key = form_field(CatalogueInstallation, "key", label="API key", help_text=STORED_ENCRYPTED)
    base_url = form_field(CatalogueInstallation, "base_url", label="URL")
    enabled = form_field(CatalogueInstallation, "enabled", label="Enable for everyone in this workspace now")
    test = form_field(CatalogueInstallation, "test", label="Test the connection before saving")

    def __init__(self, principal: Principal, provider: CatalogueProvider, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.provider = provider
        fields: dict[str, Any] = self.fields
        fields["models"].choices = [(model.slug, model.name) for model in provider.models]
        known = [row for row in credentials_of(principal) if row.kind == provider.kind]
        usable = [(str(row.id), row.name) for row in known if provider.base_url in ("", row.base_url)]
        fields["credential_id"].choices = [("", "New key"), *usable]
        if not usable:
            del fields["credential_id"]
        if not provider.wants_address:
            del fields["base_url"]

    def chosen(self) -> CatalogueInstallation:
        return read_form(CatalogueInstallation, self, provider=self.provider.slug)


class ModelForm(forms.Form):
    """A model's settings. A credential or model ID that is left out stays unchanged."""

    name = form_field(ModelChange, "name", label="Name", required=True)
    credential_id = forms.ChoiceField(label="Credential", choices=[], required=False)
    upstream_name = form_field(
        ModelChange, "upstream_name", label="Model ID at the provider", help_text=PRICES_ARE_DELETED
    )
    test = form_field(ModelChange, "test", label="Test the connection before saving a new provider or ID")
    enabled = form_field(ModelChange, "enabled", label="Enabled")
    context_window = form_field(
        ModelChange,
        "context_window",
        label="Context window (tokens)",
        required=True,
        help_text=CONTEXT_WINDOW,
    )
    output_bound = form_field(
        ModelChange,
        "output_bound",
        label="Default reply limit (tokens)",
        required=True,
        help_text=REPLY_LIMIT,
    )
    fallback = forms.ChoiceField(
        label="Fallback model", choices=[], required=False, help_text="Used if the provider fails."
    )
    abilities = abilities_field()
    temperature = form_field(Parameters, "temperature", label="Temperature", help_text=PROVIDER_DEFAULT)
    top_p = form_field(Parameters, "top_p", label="Top p", help_text=PROVIDER_DEFAULT)
    reasoning_effort = form_field(
        Parameters,
        "reasoning_effort",
        label="Reasoning",
        choices=[("", "Provider's default"), *((one, one) for one in EFFORTS)],
    )
    allow_roles = tick_boxes("Allowed roles", ROLES)
    everybody = forms.BooleanField(label="Open to everyone if nothing is selected above", required=False)
    deny_roles = tick_boxes("Denied roles", ROLES)
    allow_members = tick_boxes("Allowed members", [])
    deny_members = tick_boxes("Denied members", [])

    def __init__(self, principal: Principal, model: ModelRef, data: Any) -> None:
        super().__init__(data, initial=_initial(model))
        fields: dict[str, Any] = self.fields
        installed = installed_models(workspace_id=principal.workspace.id)
        others = [row for row in installed if row.id != model.id and row.kind == model.kind]
        fields["fallback"].choices = [("", "None"), *((row.slug, row.name) for row in others)]
        self.is_remote = model.provider != LanguageModel.Provider.LOCAL
        saved = [(str(row.id), row.name) for row in credentials_of(principal)]
        if model.slug == LOCAL_EMBEDDING_MODEL:  # cannot be moved to another server
            saved = []
        built_in = [(BUILT_IN, "None (built-in model)")] if model.slug in BUILT_IN_MODELS else []
        fields["credential_id"].choices = [*built_in, *saved]
        # The built-in model has a fixed window, unless the form can move it to a credential.
        fields["context_window"].disabled = not (self.is_remote or saved)
        if model.kind != LanguageModel.Kind.CHAT:
            for name in CHAT_ONLY:
                del fields[name]
        members = _members(principal, model.access.named)
        for side in SIDES:
            fields[f"{side}_members"].choices = members
        if model.access.allow.is_empty:
            del fields["everybody"]  # the model is open already

    def clean(self) -> None:
        """An empty selection opens the model to everyone, so that has to be confirmed."""
        opens = self.cleaned_data.get("everybody") is False and self._group("allow").group().is_empty
        if opens and not self.errors:
            problem = "Nothing is selected, so everyone could use this model. Select this to confirm."
            self.add_error("everybody", problem)

    def change(self) -> ModelChange:
        return read_form(
            ModelChange,
            self,
            **self._upstream(),
            parameters=read_form(Parameters, self),
            access=AccessInput(allow=self._group("allow"), deny=self._group("deny")),
        )

    def _upstream(self) -> dict[str, Any]:
        """The built-in model has its own ID and limits, so a move back to it ignores the form's."""
        chosen = self.cleaned_data["credential_id"]
        if chosen == BUILT_IN:
            own = dict.fromkeys(("context_window", "output_bound", "abilities")) if self.is_remote else {}
            return {"credential_id": None, "upstream_name": None, **own}
        return {
            "credential_id": UUID(chosen) if chosen else UNCHANGED,
            "upstream_name": self.cleaned_data["upstream_name"] or None,
        }

    def _group(self, side: str) -> GroupInput:
        sent = self.cleaned_data
        members = [UUID(member) for member in sent.get(f"{side}_members", [])]
        return GroupInput(roles=sent.get(f"{side}_roles", []), members=members)


def _initial(model: ModelRef) -> dict[str, Any]:
    access = model.access.as_data()
    return {
        **{name: getattr(model, name) for name in COPIED},
        "credential_id": str(model.endpoint.credential_id) if model.endpoint else BUILT_IN,
        "test": True,
        **model.parameters,
        "abilities": sorted(model.abilities),
        **{f"{side}_{kind}": access[side][kind] for side in access for kind in access[side]},
    }


def _members(principal: Principal, named: frozenset[UUID]) -> list[tuple[str, str]]:
    """Some members, and all who are named, also those who left: a form drops what it does not offer."""
    rows = WorkspaceMember.objects.filter(workspace=principal.workspace.id).select_related("user")
    offered = [*rows.order_by("user__name", "id")[:MOST_OFFERED], *rows.filter(user__in=named)]
    current = {row.user_id: row.user.label for row in offered}
    past = named - current.keys()
    labels = {user.id: user.label for user in User.objects.filter(id__in=past)}
    former = {one: f"{labels.get(one, 'Unknown')} (no longer a member)" for one in sorted(past)}
    return [(str(one), label) for one, label in {**current, **former}.items()]
