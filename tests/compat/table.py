"""The table of results in docs/clients.md: a row per client and API, a column per situation."""

from collections.abc import Mapping
from pathlib import Path

from tests.compat.environments import ROOT
from tests.compat.results import CLIENTS, Client

PAGE = ROOT / "docs" / "clients.md"
BEGIN, END = "<!-- results: written by make compat -->", "<!-- end of results -->"
APIS = {
    "chat": "Chat completions",
    "responses": "Responses",
    "messages": "Messages",
    "embeddings": "Embeddings",
    "models": "Models",
    "schema": "generated from the schema",
}
WORKS, FAILS, NOT_TRIED = "✓", "✗", ""
COLUMNS = [
    "whole", "stream", "tools", "structured output", "images", "reasoning", "parameters",
    "bad parameter", "unknown model", "context overflow", "rate limit", "retry", "spent budget",
]  # fmt: skip


def table(results: Mapping[str, Mapping[str, bool]]) -> str:
    """Markdown. `results`: whether each check passed, by client and check name."""
    lines = [_line("Client", "API", *COLUMNS, "others"), _line("---", "---", *[":-:"] * len(COLUMNS), "---")]
    for client in CLIENTS:
        passed = results[client.name]
        for api in apis_of(client):
            tried = {
                check.removeprefix(f"{api} "): check for check in client.checks if check.startswith(f"{api} ")
            }
            marks = {name: WORKS if passed[check] else FAILS for name, check in tried.items()}
            others = [f"{mark} {name}" for name, mark in marks.items() if name not in COLUMNS]
            cells = [marks.get(column, NOT_TRIED) for column in COLUMNS]
            lines.append(_line(f"{client.name} {client.version}", APIS[api], *cells, ", ".join(others)))
    return "\n".join(lines)


def apis_of(client: Client) -> list[str]:
    tried = {check.partition(" ")[0] for check in client.checks}
    return [api for api in APIS if api in tried]


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def shown_table(page: Path = PAGE) -> str:
    return page.read_text().partition(BEGIN)[2].partition(END)[0].strip()


def show(results: Mapping[str, Mapping[str, bool]], page: Path = PAGE) -> None:
    """Replaces the table in the page."""
    before, _, rest = page.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n{table(results)}\n{END}{after}")
