"""What clients send to install or change models, credentials and prices, by REST or by a form."""

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from accounts.models import WorkspaceMember
from kit.errors import InvalidInput
from kit.fields import (
    UNCHANGED,
    Choice,
    Help,
    Integer,
    Items,
    Line,
    Nullable,
    Real,
    Secret,
    Slug,
    String,
    Unchanged,
)
from quotas.models.prices import MOST_PRICE
from workspaces.language_models.model_access import Group
from workspaces.language_models.models import LanguageModel, ProviderCredential

MOST_TOKENS = 2**31 - 1
MOST_MODELS = 200  # of a workspace
LONGEST_KEY = 10_000  # characters
EFFORTS = ("none", "minimal", "low", "medium", "high")

Name = Annotated[str, Line(100)]
ModelSlug = Annotated[str, Slug(60)]
Window = Annotated[int, Integer(2, MOST_TOKENS)]
OutputBound = Annotated[
    int, Integer(0, MOST_TOKENS), Help("At least 1 for a chat model; leave it out for other models")
]
Kind = Annotated[
    str, Choice(LanguageModel.Kind.choices), Help("What the model is used for; cannot be changed")
]
Abilities = Annotated[list[Annotated[str, Choice(LanguageModel.Ability.choices)]], Items(most=10)]
Role = Annotated[str, Choice(WorkspaceMember.Role.choices)]
Key = Annotated[str, Secret(LONGEST_KEY, may_be_empty=True)]
Test = Annotated[
    bool, Help("Test the connection first and save nothing if it fails; false saves without a test")
]
Amount = Annotated[int, Integer(0, MOST_PRICE)]


@dataclass(frozen=True)
class Parameters:
    """Used when a request names none; null: the provider's default."""

    temperature: Annotated[float, Real(0, 2), Nullable()] | None = None
    top_p: Annotated[float, Real(0, 1), Nullable()] | None = None
    reasoning_effort: Annotated[str, Choice(EFFORTS), Nullable()] | None = None

    def as_data(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value is not None}

    def check(self) -> None:
        """InvalidInput. Serializers and forms check the same; the catalogue and commands have neither."""
        wrong = [
            f"{name} must be a number between 0 and {most}."
            for name, value, most in (("temperature", self.temperature, 2), ("top_p", self.top_p, 1))
            if value is not None and not 0 <= value <= most
        ]
        if self.reasoning_effort not in (None, *EFFORTS):
            wrong.append(f"reasoning_effort must be one of: {', '.join(EFFORTS)}.")
        if wrong:
            raise InvalidInput(parameters=wrong)


@dataclass(frozen=True)
class GroupInput:
    roles: Annotated[list[Role], Items(most=3)] = field(default_factory=list)
    members: Annotated[list[UUID], Items(most=500)] = field(default_factory=list)

    def group(self) -> Group:
        return Group(frozenset(self.roles), frozenset(self.members))


@dataclass(frozen=True)
class AccessInput:
    """If `allow` is empty, everyone may use the model; `deny` wins.

    In a change, a side that is left out stays as it is, and one that is sent is replaced as a whole:
    `"allow": {}` opens the model to everyone.
    """

    allow: GroupInput | None = None
    deny: GroupInput | None = None

    def groups(self) -> dict[str, Group]:
        sides = {"allow": self.allow, "deny": self.deny}
        return {side: given.group() for side, given in sides.items() if given is not None}


@dataclass(frozen=True, kw_only=True)
class ModelInput:
    slug: ModelSlug
    upstream_name: Annotated[str, String(100), Help("The model's ID at its provider")]
    name: Name = ""
    kind: Kind = LanguageModel.Kind.CHAT.value
    context_window: Window
    output_bound: OutputBound = 0
    abilities: Abilities = field(default_factory=list)
    parameters: Parameters = field(default_factory=Parameters)
    enabled: bool = False


@dataclass(frozen=True, kw_only=True)
class ModelInstallation(ModelInput):
    credential_id: UUID
    test: Test = True


@dataclass(frozen=True, kw_only=True)
class ModelChange:
    """None leaves a field unchanged. The provider follows the credential."""

    name: Name | None = None
    upstream_name: (
        Annotated[
            str,
            String(100),
            Help("The model's ID at its provider. A new ID deletes the workspace's own prices for the model"),
        ]
        | None
    ) = None
    credential_id: (
        Annotated[UUID, Nullable(), Help("A saved credential; null: the built-in model, only for `local`")]
        | Unchanged
        | None
    ) = UNCHANGED
    test: Annotated[
        bool, Help("Test the model before saving if the credential or the upstream name changes")
    ] = True
    enabled: bool | None = None
    context_window: Window | None = None
    output_bound: OutputBound | None = None
    abilities: Abilities | None = None
    fallback: Annotated[str, Slug(60, may_be_empty=True), Help("'': none")] | None = None
    parameters: Parameters | None = None
    access: AccessInput | None = None


@dataclass(frozen=True)
class ModelsChange:
    models: Annotated[list[ModelSlug], Items(fewest=1, most=MOST_MODELS)]
    enabled: bool


@dataclass(frozen=True, kw_only=True)
class CredentialInput:
    name: Name
    kind: Annotated[str, Choice(ProviderCredential.Kind.choices)]
    key: Key = field(default="", repr=False)
    base_url: Annotated[str, String(500)] = ""
    test: Test = True


@dataclass(frozen=True, kw_only=True)
class CredentialChange:
    """None leaves a field as it is."""

    name: Name | None = None
    key: Key | None = field(default=None, repr=False)
    base_url: Annotated[str, String(500)] | None = None
    test: Test = True


@dataclass(frozen=True, kw_only=True)
class CatalogueInstallation:
    provider: Annotated[str, Slug(60), Help("A provider's slug in the catalogue")]
    models: Annotated[list[ModelSlug], Items(fewest=1, most=50), Help("Slugs of its models in the catalogue")]
    key: Key = field(default="", repr=False)
    credential_id: Annotated[UUID, Nullable(), Help("A saved credential, instead of a key")] | None = None
    base_url: Annotated[str, String(500), Help("Only for self-hosted providers")] = ""
    enabled: bool = False
    test: Test = True


@dataclass(frozen=True, kw_only=True)
class PriceInput:
    input: Amount
    output: Amount
    cached_input: Annotated[Amount, Nullable()] | None = None
    reasoning: Annotated[Amount, Nullable()] | None = None
    effective_from: Annotated[datetime, Nullable(), Help("Default: now")] | None = None
