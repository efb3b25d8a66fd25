"""The payer and the planned model call for which admission and holds are requested."""

from dataclasses import dataclass
from uuid import UUID

from accounts.principals import Principal


@dataclass(frozen=True, slots=True)
class Payer:
    """To whom a turn is billed; the key is None if a person acts."""

    tenant_id: UUID
    workspace_id: UUID
    user_id: UUID
    api_key_id: UUID | None = None
    time_zone: str = "UTC"  # the tenant's, for its days and months

    @classmethod
    def of(cls, principal: Principal) -> "Payer":
        """The principal pays, in the principal's workspace."""
        return cls(
            tenant_id=principal.tenant.id,
            workspace_id=principal.workspace.id,
            user_id=principal.user_id,
            api_key_id=principal.api_key_id,
            time_zone=principal.tenant.time_zone,
        )


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A model call before it is made: the model by its slug and by its provider's name, bounds in tokens.

    `prompt_estimate` is charged for the prompt if the provider's count never arrives; without an estimate the
    bound is charged.
    """

    model: str
    provider: str
    upstream_name: str
    prompt_bound: int
    output_bound: int
    prompt_estimate: int | None = None
    model_id: UUID | None = None  # for the ledger: the slug may be another model's later

    @property
    def tokens(self) -> int:
        return self.prompt_bound + self.output_bound
