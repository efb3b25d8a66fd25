"""REST views accept only JSON objects and return only JSON."""

from typing import Any

from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from kit.content_negotiation import refuse_compressed
from kit.json_input import parse_object


class StrictJSONParser(BaseParser):
    """Accepts JSON objects only; anything else raises a clear error."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> dict[str, Any]:
        return parse_object(stream.read())


class JsonAlways(BaseContentNegotiation):
    """Ignores the Accept header: responses are always JSON."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        refuse_compressed(request.headers.get("content-encoding", ""))
        kind = (request.content_type or "").partition(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == kind), None)

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type
