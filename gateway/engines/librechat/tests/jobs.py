"""Jobs and accounts for tests, as admission creates them."""

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

from django.utils import timezone

from accounts.engine_accounts import member_account
from accounts.tests.cast import Person
from gateway.calls.bounds import Bounds
from gateway.engines.base import Question, TurnJob
from gateway.engines.librechat.accounts import ENGINE
from gateway.providers.base import ModelRequest
from kit.tenancy import TenantRef, in_public
from workspaces.language_models.queries import ModelRef

NOWHERE = TenantRef(id=uuid4(), slug="nowhere", schema_name="nowhere")
MODEL = ModelRef(uuid4(), "local", "Local", "local", "m", 4096, 512, True, timezone.now())
REQUEST = ModelRequest(model="m", messages=[], max_tokens=96)


def job(text: str = "hi", **more: Any) -> TurnJob:
    """A first turn in a conversation of its own."""
    fields: dict[str, Any] = {
        "turn_id": uuid4(),
        "conversation_id": uuid4(),
        "tenant": NOWHERE,
        "workspace_id": uuid4(),
        "user_id": uuid4(),
        "engine": ENGINE,
        "model": MODEL,
        "request": REQUEST,
        "bounds": Bounds(prompt=10, output=20),
        "question": Question(id=uuid4(), text=text),
        "engine_account_id": uuid4(),
        **more,
    }
    return TurnJob(**fields)


def next_job(before: TurnJob, text: str = "and then", **more: Any) -> TurnJob:
    """The turn after that one."""
    question = Question(id=uuid4(), text=text)
    ancestors = (before.turn_id, *before.ancestors)
    return replace(before, **{"turn_id": uuid4(), "question": question, "ancestors": ancestors, **more})


async def account_of(person: Person) -> UUID:
    """The engine account of that person, in their tenant."""
    principal = person.principal
    account = await in_public(
        member_account, engine=ENGINE, tenant_id=principal.tenant.id, user_id=principal.user_id
    )
    return account.id
