"""Stores conversations for tests that only read them."""

from accounts.tests.cast import Person
from gateway.models import Conversation, Message, Turn
from kit.tenancy import tenant_scope

# In every text, so that a test can search for it anywhere.
SECRET = "marmalade"


def store_turn(person: Person) -> Turn:
    """A finished turn in its own conversation, with the secret in each text."""
    owner = {"workspace_id": person.principal.workspace.id, "user_id": person.principal.user_id}
    with tenant_scope(person.principal.tenant):
        conversation = Conversation.objects.create(title=f"About {SECRET}", engine="direct", **owner)
        turn = Turn.objects.create(
            conversation=conversation,
            kind=Turn.Kind.CHAT,
            status=Turn.Status.DONE,
            finish_reason=Turn.FinishReason.ERROR,
            model="smollm2",
            engine="direct",
            parts=[{"type": "text", "text": SECRET}],
            decision={"allowed": True, "checks": [{"reason": SECRET}]},
            error={"code": "provider_error", "message": SECRET, "details": {"reply": SECRET}},
            idempotency_key=f"{SECRET}-{conversation.id}",
            **owner,
        )
        for role in Message.Role.values:
            Message.objects.create(conversation=conversation, turn=turn, role=role, content=SECRET)
    return turn
