"""Writes the comparison as a page of the documentation."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from tests.cases.collection import Surface
from tests.cases.runs import Run

NAMES = {
    Surface.CHAT_STREAMED: "chat completions, streamed",
    Surface.CHAT_WHOLE: "chat completions, whole",
    Surface.RESPONSES_STREAMED: "Responses, streamed",
    Surface.RESPONSES_WHOLE: "Responses, whole",
    Surface.MESSAGES_STREAMED: "Messages, streamed",
    Surface.MESSAGES_WHOLE: "Messages, whole",
}
Key = tuple[str, str, Surface]


def page(
    ours: Sequence[Run], theirs: Sequence[Run], *, commit: str, version: str, notes: Sequence[str]
) -> str:
    """Markdown. Compares the runs that both `ours` and `theirs` have."""
    mine, other = _by_key(ours), _by_key(theirs)
    both = [key for key in mine if key in other]
    day = datetime.now(UTC).date().isoformat()
    return "\n".join(
        [
            "# Compared with LiteLLM",
            "",
            f"Written by `make bench-peers` on {day}: Switchyard at {commit}, LiteLLM's proxy {version} "
            "from the registry with default settings, on the same scripted providers (tests/cases). A run is "
            "a case on one surface, and is right if nothing differs from the expectation. The cases "
            "were collected for Switchyard, which was fixed with their help; LiteLLM was not.",
            "",
            *_figures("Surface", [(NAMES[s], [k for k in both if k[2] is s]) for s in NAMES], mine, other),
            "",
            *_figures("Kind", _kinds(both, mine), mine, other),
            "",
            "## Other measurements",
            "",
            *(f"- {note}" for note in notes),
            "",
            *_listing("LiteLLM is right and Switchyard is wrong", both, mine, other, (False, True)),
            *_listing("Both are wrong", both, mine, other, (False, False)),
            *_listing("Switchyard is right and LiteLLM is wrong", both, mine, other, (True, False)),
        ]
    )


def _by_key(runs: Iterable[Run]) -> dict[Key, Run]:
    return {(run.case.what, run.case.name, run.surface): run for run in runs}


def _kinds(both: Sequence[Key], mine: dict[Key, Run]) -> list[tuple[str, list[Key]]]:
    kinds = dict.fromkeys(mine[key].case.kind for key in both)
    return [(kind, [key for key in both if mine[key].case.kind == kind]) for kind in kinds]


def _figures(
    title: str, rows: Iterable[tuple[str, list[Key]]], mine: dict[Key, Run], other: dict[Key, Run]
) -> list[str]:
    lines = [f"| {title} | Runs | Switchyard | LiteLLM |", "|---|---|---|---|"]
    for name, keys in rows:
        if keys:
            ours = sum(not mine[key].faults for key in keys)
            theirs = sum(not other[key].faults for key in keys)
            lines.append(f"| {name} | {len(keys)} | {ours} | {theirs} |")
    return lines


def _listing(
    title: str,
    both: Sequence[Key],
    mine: dict[Key, Run],
    other: dict[Key, Run],
    wanted: tuple[bool, bool],
) -> list[str]:
    """A section with the cases, and the surfaces on which both outcomes are the `wanted` ones."""
    found: dict[tuple[str, str], list[str]] = {}
    for key in both:
        if (not mine[key].faults, not other[key].faults) == wanted:
            found.setdefault((mine[key].case.kind, key[1]), []).append(key[2].value)
    rows = [f"| {kind} | {_cell(name)} | {' '.join(letters)} |" for (kind, name), letters in found.items()]
    if not rows:
        return [f"## {title}", "", "None.", ""]
    return [f"## {title}", "", "| Kind | Case | Surfaces |", "|---|---|---|", *rows, ""]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
