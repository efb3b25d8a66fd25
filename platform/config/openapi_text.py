"""The text at the top of the OpenAPI description: what applies to all routes, and the WebSocket."""

DESCRIPTION = """
Models, tools and agents for teams: one API in front of every engine.

`tenant` and `workspace` are slugs. Older names of them (`tenantId`, `workspaceId`, `workspace_id`) are still
accepted and returned. Lists are paged with `cursor` and `limit`.

## WebSocket

`/ws/chat` runs the same turns as `POST /v1/chat/send`, several at a time. Send the token in the handshake,
as the header `Authorization: Bearer …` or as the subprotocols `bearer` and the token. Every frame is a JSON
object with a `type`.

| you send | fields |
|---|---|
| `send` | the body of `POST /v1/chat/send`, and optionally `idempotency_key` |
| `resume` | `turn_id`, `last_event_id` |
| `stop` | `turn_id` |

Each may have a `ref`, which `started` and a refusal return. You receive the events of `POST /v1/chat/send`,
each with `type`, `id` and `turn_id`; an `error` without `id` for a refused frame; `ping` every 10 seconds;
and `moved` (`turn_id`, `text`) when the server restarts: connect again and resume. Close codes: 1012
(restart), 1013 (try again later), 4401 (not authenticated), 4429 (too many frames). `docs/websocket.md` has
examples in Python and JavaScript.
"""
