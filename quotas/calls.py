"""Who pays, and for which model call: what admission and holds are asked with."""

from dataclasses import dataclass
from uuid import UUID

from accounts.principals import Principal


@dataclass(frozen=True, slots=True)
class Payer:
    """Who a turn is billed to; the key is None where a person acts."""

    tenant_id: UUID
    workspace_id: UUID
    user_id: UUID
    api_key_id: UUID | None = None
    time_zone: str = "UTC"  # the tenant's: its days and months are counted in it

    @classmethod
    def of(cls, principal: Principal) -> "Payer":
        """Whoever acts pays, in the workspace where they act."""
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

    `prompt_estimate` is what the prompt is charged if the provider's count never arrives; its bound where
    there is no estimate.
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
