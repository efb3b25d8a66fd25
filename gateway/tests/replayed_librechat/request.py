"""A parsed request for the routes."""

from urllib.parse import parse_qsl

from gateway.tests.replayed_librechat.answers import Json


class Request:
    """`route` is the method and the path's parts: `("GET", "api", "convos")`."""

    def __init__(self, scope: Json, body: Json) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        raw_query = scope["query_string"].decode()
        self.full_path = f"{self.path}?{raw_query}" if raw_query else self.path
        self.query = dict(parse_qsl(raw_query))
        self.headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        self.body = body
        self.replica: int = (scope.get("server") or ("", 0))[1] or 0  # the port at which it arrived
        self.route = (self.method, *self.path.strip("/").split("/"))
