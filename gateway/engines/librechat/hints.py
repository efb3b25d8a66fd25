"""The failed steps of LibreChat's check: what is wrong, and how to repair it.

LibreChat's own message is included if there is one.
"""

from django.conf import settings

from gateway.engines.check_steps import FAILED, WARNING, Step
from gateway.engines.librechat.error_text import plain_words
from gateway.errors import EngineUnavailable
from kit.errors import DomainError

CONFIG = "`manage.py librechat_config` and restart LibreChat"
IMAGE = (
    "Run an image of LibreChat that docs/librechat.md names under “Which LibreChat”; this one may be too old."
)


def unreachable() -> Step:
    text = f"LibreChat does not respond at {settings.LIBRECHAT_URL or 'LIBRECHAT_URL, which is not set'}."
    mend = "If it is starting, wait 30 seconds. Otherwise check its log and LIBRECHAT_URL."
    return Step("reachable", FAILED, text, mend, may_pass=True)


def no_login(why: str) -> Step:
    text = f"The operator's account cannot sign in: {why}"
    mend = f"Registration is off, or LibreChat banned Switchyard: rewrite LibreChat's .env with {CONFIG}."
    return Step("login", FAILED, text, mend)


def unreadable_password() -> Step:
    text = "The password of the operator's account cannot be read."
    mend = "Add the key that encrypted it at the end of ENCRYPTION_KEYS again."
    return Step("login", FAILED, text, mend)


def no_admin() -> Step:
    text = "The operator's account can sign in but is not LibreChat's admin: someone registered before it."
    mend = (
        "Start with an empty MongoDB, or make sure that no one else knows the password of its first account."
    )
    return Step("login", WARNING, text, mend)


def bad_start(why: str) -> Step:
    return Step("starts", FAILED, why, IMAGE)


def no_start(error: DomainError) -> Step:
    """LibreChat refused; its own message says why."""
    may_pass = isinstance(error, EngineUnavailable)
    mend = "Check LibreChat's log. If it has no reason, run an image that docs/librechat.md lists."
    if "Illegal request" in error.text:
        mend = "LibreChat does not accept Switchyard's User-Agent. Report this with LibreChat's version."
    return Step(
        "starts", FAILED, f"LibreChat does not start a generation. {error.text}", mend, may_pass=may_pass
    )


def no_endpoint() -> Step:
    text = "LibreChat does not know the endpoint “Routed”: its librechat.yaml is not the generated one."
    return Step("routing", FAILED, text, f"Write it with {CONFIG}.")


def broken_off(said: str) -> Step:
    text = f"LibreChat's stream of the generation ended early.{_said(said)}"
    return Step("routing", FAILED, text, "Check LibreChat's log.", may_pass=True)


def not_routed(status: int | None, said: str, *, egress_answers: bool) -> Step:
    """The model call never reached our egress; `status` is the response that LibreChat got instead."""
    text, mend = _NOT_ROUTED.get(status, _elsewhere(egress_answers))
    answered = f" (LibreChat was answered {status})" if status else ""
    return Step("routing", FAILED, f"{text}{answered}.{_said(said)}", mend, may_pass=status is None)


def wrong_headers(missing: list[str]) -> Step:
    text = f"The model call reaches our egress, but without our {', '.join(missing)}."
    mend = f"Rewrite its librechat.yaml with {CONFIG}. If that is done: {IMAGE}"
    return Step("routing", FAILED, text, mend)


def bad_again() -> Step:
    return Step("again", FAILED, "A repeated start is not `resumed`: turns would run twice.", IMAGE)


def no_reply(said: str) -> Step:
    text = f"The model call reaches our egress, but LibreChat does not return the reply.{_said(said)}"
    return Step("ids", FAILED, text, "Check the logs of LibreChat and the egress.")


def not_stored() -> Step:
    return Step("ids", FAILED, "LibreChat does not store the reply under our id.", IMAGE)


def no_usage() -> Step:
    text = "LibreChat reports no usage (no `on_token_usage` events)."
    mend = f"`streamUsage` is missing: rewrite its librechat.yaml with {CONFIG}."
    return Step("usage", FAILED, text, mend)


def odd_usage(calls: int) -> Step:
    times = f"{calls} time{'s' * (calls != 1)}"
    text = f"LibreChat reports different usage from the egress, which was called {times}."
    mend = "It may summarise or make titles by itself, which costs tokens: rewrite its librechat.yaml with "
    return Step("usage", WARNING, text, f"{mend}{CONFIG}.")


def no_tools(why: str) -> Step:
    text = f"LibreChat does not take an MCP server at our egress, so turns could use no tools. {why}"
    mend = (
        "If it names no other reason, `mcpSettings` or `interface.mcpServers` is missing, or its MongoDB was "
        f"emptied while it ran: write its librechat.yaml with {CONFIG}."
    )
    return Step("tools", FAILED, text, mend)


def tools_not_offered(said: str) -> Step:
    text = f"LibreChat accepts the MCP server, but does not offer its tool to the model.{_said(said)}"
    mend = f"`endpoints.agents.capabilities` lacks `tools`: write its librechat.yaml with {CONFIG}."
    return Step("tools", FAILED, text, mend)


def tool_not_called(said: str) -> Step:
    text = f"LibreChat offers the tool to the model, but does not call it at our egress.{_said(said)}"
    return Step("tools", FAILED, text, "Check the logs of LibreChat and the egress.")


def tool_not_answered(said: str) -> Step:
    text = f"LibreChat calls the tool at our egress, but the turn does not end with its result.{_said(said)}"
    return Step("tools", FAILED, text, "Check the logs of LibreChat and the egress.")


def _said(words: str) -> str:
    told = plain_words(words)
    return f" LibreChat says: {told}" if told else ""


def _elsewhere(egress_answers: bool) -> tuple[str, str]:
    if egress_answers:
        text = f"The model call does not reach our egress, which answers at {settings.EGRESS_URL}"
        return text, f"LibreChat calls somewhere else: rewrite its librechat.yaml with {CONFIG}."
    text = "The model call does not reach our egress"
    start = f"No egress responds at {settings.EGRESS_URL}: start it, or correct EGRESS_URL."
    return text, f"{start} If LibreChat alone can reach it, rewrite its librechat.yaml with {CONFIG}."


_NOT_ROUTED: dict[int | None, tuple[str, str]] = {
    401: (
        "The egress refuses LibreChat's secret",
        f"It is not in EGRESS_SECRETS: rewrite its librechat.yaml with {CONFIG}.",
    ),
    404: (
        "The model call reaches a server that does not know it by its headers",
        f"Rewrite its librechat.yaml with {CONFIG}, and see that the egress uses this same database.",
    ),
}
