"""Structured logs: readable lines in development, JSON in production; secrets never reach them."""

from typing import Any

import structlog

SECRET_WORDS = ("password", "secret", "token", "authorization", "cookie", "api_key", "credential")
COUNTED_NOT_SECRET = ("_tokens", "tokens_")


def mask_secrets(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Replaces the value of every key whose name suggests a secret, in all logs."""
    for key in event:
        name = key.lower()
        if any(word in name for word in SECRET_WORDS) and not any(w in name for w in COUNTED_NOT_SECRET):
            event[key] = "***"
    return event


def configure(*, json: bool, level: str) -> dict[str, Any]:
    """Configures structlog and returns Django's LOGGING, so that both write the same format."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        mask_secrets,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    ends = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if json
        else [structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)]
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "lines": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": shared,
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ends],
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lines"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django.request": {"level": "ERROR"},
            "httpx": {"level": "WARNING"},
            "httpx2": {"level": "WARNING"},
            # The MCP SDK's loggers: they log what servers send, and session ids.
            "mcp": {"level": "CRITICAL"},
            "client": {"level": "CRITICAL"},
            "uvicorn.access": {"level": "WARNING"},
            "procrastinate": {"level": "WARNING"},
        },
    }
