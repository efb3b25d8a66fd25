"""What is wrong with a LibreChat that fails a step of its check, and how it is mended, in words."""

from django.conf import settings

from gateway.engines.steps import FAILED, WARNING, Step

CONFIG = "`manage.py librechat_config` and restart LibreChat"
IMAGE = (
    "Run an image of LibreChat that docs/librechat.md names under “Which LibreChat”; this one may be too old."
)


def unreachable() -> Step:
    text = f"LibreChat does not answer at {settings.LIBRECHAT_URL or 'LIBRECHAT_URL, which is not set'}."
    mend = "Wait half a minute if it is starting; else see its log, and whether LIBRECHAT_URL is right."
    return Step("reachable", FAILED, text, mend, may_pass=True)


def no_login(why: str) -> Step:
    text = f"The operator's account cannot sign in: {why}"
    mend = f"Registration is off or we are banned: write LibreChat's .env anew with {CONFIG}."
    return Step("login", FAILED, text, mend)


def unreadable_password() -> Step:
    text = "The password of the operator's account cannot be read."
    mend = "Put the key that it was sealed with back behind the others in ENCRYPTION_KEYS."
    return Step("login", FAILED, text, mend)


def no_admin() -> Step:
    text = "The operator's account signs in, but is not LibreChat's admin: somebody was registered before."
    mend = (
        "Begin with an empty MongoDB, or see to it that nobody else knows the password of its first account."
    )
    return Step("login", WARNING, text, mend)


def bad_start(why: str) -> Step:
    return Step("starts", FAILED, why, IMAGE)


def no_endpoint() -> Step:
    text = "LibreChat does not know the endpoint “Routed”: its librechat.yaml is not ours."
    return Step("routing", FAILED, text, f"Write it with {CONFIG}.")


def broken_off() -> Step:
    text = "LibreChat's stream of the generation broke off."
    return Step("routing", FAILED, text, "See LibreChat's log.", may_pass=True)


def not_routed(status: int | None, *, egress_answers: bool) -> Step:
    """The model call never came to us; `status` is what LibreChat was answered, wherever it called."""
    text, mend = _NOT_ROUTED.get(status, _elsewhere(egress_answers))
    said = f" (LibreChat was answered {status})" if status else ""
    return Step("routing", FAILED, f"{text}{said}.", mend, may_pass=status is None)


def wrong_headers(missing: list[str]) -> Step:
    text = f"The model call comes to our egress, but not with our {', '.join(missing)}."
    mend = f"Write its librechat.yaml anew with {CONFIG}. If that is done: {IMAGE}"
    return Step("routing", FAILED, text, mend)


def bad_again() -> Step:
    return Step("again", FAILED, "The same start again is not `resumed`: turns would be run twice.", IMAGE)


def no_reply() -> Step:
    text = "The model call comes to our egress, but LibreChat does not tell its reply."
    return Step("ids", FAILED, text, "See LibreChat's log, and the egress's.")


def not_stored() -> Step:
    return Step("ids", FAILED, "LibreChat does not keep the reply under the id that we chose.", IMAGE)


def no_usage() -> Step:
    text = "LibreChat tells no usage (no `on_token_usage` events)."
    mend = f"`streamUsage` is missing: write its librechat.yaml anew with {CONFIG}."
    return Step("usage", FAILED, text, mend)


def odd_usage(calls: int) -> Step:
    text = f"LibreChat counts otherwise than the egress, which was called {calls} time{'s' * (calls != 1)}."
    mend = (
        "It may summarise or make titles by itself, which costs tokens: write its librechat.yaml anew with "
    )
    return Step("usage", WARNING, text, f"{mend}{CONFIG}.")


def no_tools(status: int | None) -> Step:
    said = f" (it answered {status})" if status else ""
    text = f"LibreChat does not take an MCP server at our egress{said}: turns could use no tools."
    mend = f"`mcpSettings` or `interface.mcpServers` is missing: write its librechat.yaml anew with {CONFIG}."
    return Step("tools", FAILED, text, mend)


def _elsewhere(egress_answers: bool) -> tuple[str, str]:
    if egress_answers:
        text = f"The model call does not come to our egress, which answers at {settings.EGRESS_URL}"
        return text, f"LibreChat calls somewhere else: write its librechat.yaml anew with {CONFIG}."
    text = "The model call does not come to our egress"
    start = f"No egress answers at {settings.EGRESS_URL}: start it, or correct EGRESS_URL."
    return text, f"{start} If LibreChat alone can reach it, write its librechat.yaml anew with {CONFIG}."


_NOT_ROUTED: dict[int | None, tuple[str, str]] = {
    401: (
        "The egress refuses LibreChat's secret",
        f"It is none of EGRESS_SECRETS: write its librechat.yaml anew with {CONFIG}.",
    ),
    404: (
        "The model call reaches a server that does not know it by its headers",
        f"Write its librechat.yaml anew with {CONFIG}, and see that the egress uses this same database.",
    ),
}
