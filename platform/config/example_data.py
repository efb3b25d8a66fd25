"""The data of the OpenAPI schema's examples; a test validates each against its schema."""

import json
from typing import Any

CONVERSATION = "0192f0c1-9f10-7b2e-a4c8-2d1e0f9a8b7c"
TURN = "0192f0c1-a2b3-7c4d-8e5f-60718293a4b5"
CALL = "0192f0c1-b0a1-7d5e-9f60-718293a4b5c6"
APPROVAL = "0192f0c1-c1d2-7e6f-8a71-8293a4b5c6d7"
QUESTION, ANSWER = "What is the capital of France?", "The capital of France is Paris."
MODEL = "gpt-4.1"

# Values of fields, by their name or by that of their component and theirs, for examples that are made from a
# schema. A value that does not fit a field of that name is not used.
FIELDS: dict[str, Any] = {
    "Approval.decision": "allowed",
    "AuditEntry.api_key": "",
    "AuditEntry.changes": {"enabled": [False, True]},
    "AuditEntry.count": 1,
    "AuditEntry.details": {},
    "AuditEntry.target": "gpt-4.1",
    "Budget.api_key": None,
    "Budget.member": None,
    "Budget.plan": "",
    "Budget.set_by": "team",
    "Budget.soft_percent": 90,
    "CatalogueInstallation.models": ["gpt-4.1", "gpt-4.1-mini"],
    "CatalogueModel.name": "GPT-4.1",
    "CatalogueModel.prices": {"input": 2_000_000, "output": 8_000_000},
    "CatalogueModel.slug": MODEL,
    "CatalogueProvider.kind": "openai",
    "CatalogueProvider.name": "OpenAI",
    "CatalogueProvider.slug": "openai",
    "CatalogueProvider.is_self_hosted": False,
    "CatalogueProvider.base_url": "",
    "Conversation.shared": False,
    "Conversation.title": "The capital of France",
    "Conversation.running": False,
    "CredentialInput.name": "OpenAI",
    "Diff.data": ["- Write a letter.", "+ Write a letter to {{name}}."],
    "GalleryEntry.name": "Search",
    "GalleryEntry.slug": "search",
    "GalleryEntry.about": "Searches the web",
    "Group.flagged_calls": 0,
    "Group.key": "2026-03-02",
    "Group.label": "2 March 2026",
    "Group.unpriced_calls": 0,
    "GroupInput.members": [],
    "Invitation.times_sent": 1,
    "KeyInput.name": "Nightly report",
    "ApiKey.name": "Nightly report",
    "NewKey.name": "Nightly report",
    "NewKey.key": "sy_acme_1234.c2VjcmV0",
    "Link.role": "editor",
    "Link.uses": 3,
    "Link.most_uses": 25,
    "NewLink.role": "editor",
    "NewLink.uses": 0,
    "NewLink.most_uses": 25,
    "NewLink.url": "https://switchyard.example.com/join/acme.3q2-7w",
    "LedgerLine.api_key": None,
    "LedgerLine.flag": "",
    "LedgerLine.is_correction": False,
    "LedgerLine.member": "alice@example.com",
    "ListedServer.slug": "search",
    "ListedServer.name": "Search",
    "ListedServer.waiting_tools": 0,
    "ListedServer.usable_tools": 4,
    "Me.name": "Alice",
    "Message.role": "assistant",
    "Model.access": {"allow": {"roles": [], "members": []}, "deny": {"roles": [], "members": []}},
    "Model.fallback": None,
    "Model.name": "GPT-4.1",
    "Model.slug": MODEL,
    "ModelInstallation.slug": MODEL,
    "ModelInstallation.output_bound": 8192,
    "ModelsChange.models": [MODEL],
    "Outcome.error": None,
    "Parameters.top_p": 0.9,
    "PatchedModelChange.name": "GPT-4.1",
    "PatchedCredentialChange.name": "OpenAI",
    "PatchedChange.title": "The capital of France",
    "PatchedProfile.name": "Alice",
    "PatchedServerChange.name": "Search",
    "PatchedToolsChange.tools": ["search"],
    "Person.name": "Alice",
    "Person.service_account": False,
    "Prompt.slug": "letter",
    "PromptInput.slug": "letter",
    "Prompt.visibility": "workspace",
    "ProviderCredential.kind": "openai",
    "ProviderCredential.name": "OpenAI",
    "ProviderCredential.models": 3,
    "Server.slug": "search",
    "Server.name": "Search",
    "ServerInput.slug": "search",
    "ServiceAccountInput.name": "Reports",
    "SignUp.name": "Alice",
    "SignInAddress.authorization_url": "https://auth.example.com/authorize?client_id=1234",
    "Team.id": "acme",
    "Team.name": "Acme",
    "Tenant.id": "acme",
    "Tenant.name": "Acme",
    "Tenant.default_workspace": "general",
    "Tenant.departed_conversations": "keep",
    "PatchedTenantChange.name": "Acme",
    "TeamInput.name": "Acme",
    "Tool.annotations": {"readOnlyHint": True},
    "Tool.argument_schema": None,
    "Tool.description": "Searches the web",
    "Tool.gone": False,
    "Tool.input_schema": {"type": "object", "properties": {"query": {"type": "string"}}},
    "Tool.name": "search",
    "Tool.new": False,
    "Tool.offered": None,
    "Tool.offered_hash": None,
    "Turn.error": None,
    "Turn.previous_id": None,
    "Used.flagged_calls": 0,
    "Used.unpriced_calls": 0,
    "ValuesInput.variables": {"name": "Mr Smith"},
    "Variable.default": "",
    "Variable.label": "Customer's name",
    "Variable.name": "name",
    "Variable.options": [],
    "Variable.type": "text",
    "Version.number": 2,
    "Welcome.inviter": "Alice",
    "Welcome.workspaces": ["sales"],
    "Workspace.archived_at": None,
    "Workspace.delete_after": None,
    "Workspace.id": "sales",
    "WorkspaceMember.role": "editor",
    "abilities": ["tools", "images"],
    "about": "Models for chat and tools",
    "access": "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VySWQiOiIuLi4ifQ.c2lnbmF0dXJl",
    "action": "model.changed",
    "actor": "alice@example.com",
    "address": "203.0.113.7",
    "arguments": {"city": "Paris"},
    "auth": "none",
    "authorization_url": "https://auth.example.com/authorize",
    "base_url": "https://api.example.com/v1",
    "by": "day",
    "category": "Search",
    "cached_input": 500_000,
    "cached_tokens": 0,
    "calls": 1,
    "code": "123456",
    "content": ANSWER,
    "context_window": 128_000,
    "cost": 1250,
    "currency": "USD",
    "description": "Writes a letter to a customer",
    "dated": "2026-03-01",
    "docs": "https://docs.example.com/",
    "email": "alice@example.com",
    "emails": ["bob@example.com", "dana@example.com"],
    "encoding_format": "float",
    "engine": "direct",
    "exactness": "exact",
    "finish_reason": "stop",
    "form": "csv",
    "has_more": False,
    "header_name": "Authorization",
    "header_value": "Bearer 1234",
    "input": QUESTION,
    "input_tokens": 14,
    "key": "sk-1234",
    "key_hint": "sk-…",
    "label": "Customer's name",
    "level": "workspace",
    "limit": 1_000_000,
    "media_type": "image/png",
    "message": QUESTION,
    "metric": "tokens",
    "model": MODEL,
    "name": "Sales",
    "next": None,
    "note": "Shorter",
    "output": 8_000_000,
    "output_bound": 8192,
    "output_tokens": 8,
    "owned_by": "openai",
    "owner": "alice@example.com",
    "password": "correct horse battery staple",
    "plan": "Team",
    "prefix": "sy_acme_1234",
    "problem": "",
    "prompt_tokens": 14,
    "provider": "openai",
    "purpose": "chat",
    "reason": f"{MODEL} is enabled in the workspace, for everyone in it.",
    "reasoning": 8_000_000,
    "reasoning_tokens": 0,
    "refresh": "eyJhbGciOiJIUzI1NiJ9.eyJqdGkiOiIuLi4ifQ.c2lnbmF0dXJl",
    "reply": ANSWER,
    "reply_language": "en",
    "role": "member",
    "request_id": "7c1b0e5d2f",
    "scopes": ["chat", "read"],
    "server": "search",
    "sign_in": "workspace",
    "slug": "sales",
    "status": "done",
    "tags": ["letters"],
    "temperature": 0.7,
    "tenant": "acme",
    "tenant_name": "Acme",
    "tenantId": "acme",
    "text": "Write a letter to {{name}}.",
    "time_zone": "Europe/Berlin",
    "title": "Letter to a customer",
    "token": "acme.3q2-7w",
    "tool": "search",
    "transport": "streamable_http",
    "total_tokens": 22,
    "upstream_name": "gpt-4.1-2025-04-14",
    "url": "https://mcp.example.com/mcp",
    "verification": "sent",
    "via": "api",
    "window": "month",
    "workspace": "sales",
    "workspaceId": "sales",
    "workspace_id": "sales",
    "workspace_name": "General",
}
# Values of parameters whose field of the same name has another meaning.
PARAMETERS: dict[str, Any] = {
    "Idempotency-Key": "7f9c2ba4-e88f-4fbd-8e9d-4c6d7b1a0f3e",
    "Last-Event-ID": 31,
    "after": 3,
    "cursor": "cD0yMDI2LTAzLTAy",
    "favourites": True,
    "find": "letter",
    "mine": True,
    "tag": "letters",
    "before": 2,
    "limit": 50,
    "prompt": "letter",
    "server": "search",
    "since": "2026-03-01",
    "until": "2026-03-31",
}

FIGURES: dict[str, Any] = {
    "level": "workspace",
    "metric": "tokens",
    "window": "month",
    "limit": 1_000_000,
    "soft_limit": 900_000,
    "used": 20_022,
    "reserved": 0,
    "remaining": 979_978,
    "resets_at": "2026-04-01T00:00:00Z",
}
USAGE: dict[str, Any] = {
    "input_tokens": 14,
    "output_tokens": 8,
    "total_tokens": 22,
    "cached_tokens": 0,
    "reasoning_tokens": 0,
    "cost": 92,
    "exactness": "exact",
    "model": MODEL,
    "provider": "openai",
    "call_ids": [CALL],
}
DECISION: dict[str, Any] = {
    "allowed": True,
    "checks": [
        {"check": "role", "allowed": True, "reason": "The editor role can chat."},
        {
            "check": "model",
            "allowed": True,
            "reason": f"{MODEL} is enabled in the workspace, for everyone in it.",
        },
        {
            "check": "quota",
            "allowed": True,
            "reason": "The budget covers the 8206 tokens that this message may use.",
        },
    ],
}
ERROR: dict[str, Any] = {
    "code": "invalid_input",
    "message": "Some fields are not valid.",
    "details": {"model": ["This field is required."]},
    "request_id": "7c1b0e5d2f",
}
TOOL_CALL: dict[str, Any] = {
    "call_id": "call_1",
    "server": "search",
    "tool": "search",
    "arguments": {"query": "capital of France"},
}
EVENTS: dict[str, dict[str, Any]] = {
    "started": {"conversation_id": CONVERSATION, "turn_id": TURN, "model": MODEL},
    "delta": {"text": ANSWER},
    "reasoning": {"text": "The user asks for a capital."},
    "refusal": {"text": "I can't help with that."},
    "extra": {
        "place": "message",
        "name": "annotations",
        "value": [
            {"type": "url_citation", "url_citation": {"url": "https://example.com/", "title": "Paris"}}
        ],
    },
    "answering": {"model": MODEL, "provider": "openai", "call_id": CALL},
    "tool_call": TOOL_CALL,
    "tool_result": {"call_id": "call_1", "output": "Paris", "is_error": False, "duration_ms": 240},
    "approval": {"approval_id": APPROVAL, **TOOL_CALL, "expires_at": "2026-03-02T09:35:00Z"},
    "approval_resolved": {"approval_id": APPROVAL, "call_id": "call_1", "decision": "allowed"},
    "notice": {
        "kind": "fallback",
        "text": "claude is not responding. gpt-4.1 answers instead.",
        "from": "claude",
        "to": MODEL,
        "provider_status": 529,
    },
    "replace": {"positions": 31},
    "usage": {**USAGE, "quota": FIGURES},
    "error": {
        "error": {**ERROR, "code": "provider_error", "message": "The model's provider failed.", "details": {}}
    },
    "done": {"finish_reason": "stop"},
    "moved": {"turn_id": TURN, "text": "The server restarts. The reply continues; resume it."},
}
WITHOUT_ID = ("moved",)

COMPLETION_USAGE: dict[str, Any] = {
    "prompt_tokens": 14,
    "completion_tokens": 8,
    "total_tokens": 22,
    "prompt_tokens_details": {"cached_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0},
    "cost": 0.000092,
}
HEAD: dict[str, Any] = {
    "id": "chatcmpl-0192f0c1a2b37c4d8e5f60718293a4b5",
    "created": 1_772_443_800,
    "model": MODEL,
}
CHUNK: dict[str, Any] = {
    **HEAD,
    "object": "chat.completion.chunk",
    "choices": [{"index": 0, "delta": {"content": ANSWER}, "logprobs": None, "finish_reason": None}],
}


def event_example(name: str, number: int = 31) -> dict[str, Any]:
    event = {"event": name, "data": EVENTS[name]}
    return event if name in WITHOUT_ID else {"id": number, **event}


def _frame(name: str, number: int) -> str:
    return f"id: {number}\nevent: {name}\ndata: {json.dumps(EVENTS[name])}\n\n"


def _line(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data)}\n\n"


def _event_component(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_")) + "Event"


RESPONSE: dict[str, Any] = {
    "id": "resp_0192f0c1a2b37c4d8e5f60718293a4b5",
    "object": "response",
    "created_at": 1_772_443_800,
    "completed_at": 1_772_443_801,
    "status": "completed",
    "model": MODEL,
    "output": [
        {
            "id": "msg_0192f0c1a2b37c4d8e5f60718293a4b5",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": ANSWER, "annotations": []}],
        }
    ],
    "usage": {
        "input_tokens": 14,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 8,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 22,
        "cost": 0.000092,
    },
    "error": None,
    "incomplete_details": None,
    "previous_response_id": None,
    "instructions": None,
    "tools": [],
    "tool_choice": "auto",
    "metadata": {},
    "store": True,
    "conversation": {"id": CONVERSATION},
}
RESPONSE_EVENT: dict[str, Any] = {
    "type": "response.output_text.delta",
    "sequence_number": 1,
    "item_id": "msg_0192f0c1a2b37c4d8e5f60718293a4b5",
    "output_index": 0,
    "content_index": 0,
    "delta": ANSWER,
}
MESSAGE_EVENT: dict[str, Any] = {
    "type": "content_block_delta",
    "index": 0,
    "delta": {"type": "text_delta", "text": ANSWER},
}

# Whole examples of components.
COMPONENTS: dict[str, Any] = {
    "ResponseObject": RESPONSE,
    "Responses": {"model": MODEL, "input": QUESTION, "max_output_tokens": 500},
    "ResponseEvent": RESPONSE_EVENT,
    "MessageEvent": MESSAGE_EVENT,
    "InputItems": {
        "object": "list",
        "data": [{"id": "msg_1", "type": "message", "role": "user", "content": QUESTION}],
        "first_id": "msg_1",
        "last_id": "msg_1",
        "has_more": False,
    },
    "DeletedResponse": {"id": RESPONSE["id"], "object": "response", "deleted": True},
    **{_event_component(name): event_example(name) for name in EVENTS},
    "Figures": FIGURES,
    "Usage": USAGE,
    "Decision": DECISION,
    "ErrorDetail": ERROR,
    "Error": {"error": ERROR},
    "OpenAIError": {"error": {**ERROR, "type": "invalid_request_error", "param": "model"}},
    "AnthropicError": {
        "type": "error",
        "error": {**ERROR, "type": "invalid_request_error"},
        "request_id": ERROR["request_id"],
    },
    "Send": {"message": QUESTION, "model": MODEL, "mcps": ["search"], "max_tokens": 500},
    "Reply": {
        "conversation_id": CONVERSATION,
        "turn_id": TURN,
        "reply": ANSWER,
        "finish_reason": "stop",
        "usage": USAGE,
        "quota": FIGURES,
    },
    "Completion": {
        "model": MODEL,
        "messages": [
            {"role": "system", "content": "Answer in one sentence."},
            {"role": "user", "content": QUESTION},
        ],
        "max_completion_tokens": 500,
        "reasoning_effort": "low",
    },
    "CompletionUsage": COMPLETION_USAGE,
    "ChatCompletion": {
        **HEAD,
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": ANSWER, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": COMPLETION_USAGE,
    },
    "ChatCompletionChunk": CHUNK,
    "Embedding": {"model": "embeddings", "input": ["Paris", "Berlin"], "dimensions": 384},
    "Embeddings": {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.0123, -0.0456, 0.0789]}],
        "model": "embeddings",
        "usage": {"prompt_tokens": 1, "total_tokens": 1},
    },
    "Moderation": {"model": "moderation", "input": QUESTION},
    "ModerationResults": {
        "id": "modr-1234",
        "model": "moderation",
        "results": [
            {"flagged": False, "categories": {"violence": False}, "category_scores": {"violence": 0.0001}}
        ],
    },
    "OpenAIModel": {"id": MODEL, "object": "model", "created": 1_772_443_800, "owned_by": "openai"},
    "ModelList": {
        "object": "list",
        "data": [{"id": MODEL, "object": "model", "created": 1_772_443_800, "owned_by": "openai"}],
    },
    "PatchedSettings": {"time_zone": "Europe/Berlin"},
}
CSV_FIELDS = (
    "id,at,day,workspace,member,api_key,purpose,model,provider,engine,turn_id,call_id,input_tokens,cached_tokens,"
    "output_tokens,reasoning_tokens,cost,exactness,flag,is_correction"
)
# Answers other than JSON, by their media type.
TEXTS = {
    "text/csv": f"{CSV_FIELDS}\r\n1,2026-03-02T09:30:00+00:00,2026-03-02,sales,alice@example.com,,chat,"
    f"{MODEL},openai,direct,{TURN},{CALL},14,0,8,0,92,exact,,False\r\n"
}
# The text of streams, by a component in their schema.
STREAMS: dict[str, str] = {
    "TurnEvent": "".join(
        _frame(name, number)
        for name, number in {"started": 1, "answering": 2, "delta": 33, "usage": 34, "done": 35}.items()
    ),
    "ChatCompletionChunk": _line(CHUNK)
    + _line({**CHUNK, "choices": [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]})
    + "data: [DONE]\n\n",
    "ResponseEvent": "".join(
        f"event: {event['type']}\n{_line(event)}"
        for event in (
            {"type": "response.created", "sequence_number": 0, "response": RESPONSE},
            RESPONSE_EVENT,
            {"type": "response.completed", "sequence_number": 2, "response": RESPONSE},
        )
    )
    + "data: [DONE]\n\n",
    "MessageEvent": "".join(
        f"event: {event['type']}\n{_line(event)}" for event in (MESSAGE_EVENT, {"type": "message_stop"})
    ),
}
