"""What clients send to answer a tool call that waits for a person."""

from dataclasses import dataclass
from typing import Annotated

from gateway.turns.approval_answers import DECISIONS
from kit.fields import Choice, Help


@dataclass(frozen=True)
class ApprovalInput:
    decision: Annotated[
        str, Choice(DECISIONS), Help("`always`: this tool never asks again in this workspace")
    ]
