"""Options that choose cases, the fixture that plays them, and a summary of their faults."""

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from accounts.tests.cast import Cast
from gateway.tests import snapshot
from tests.cases.collection import Case, Surface, all_cases
from tests.cases.playback import play
from tests.cases.runs import Run
from tests.cases.transcript import transcript

Outcomes = dict[tuple[str, str], list[Run]]
RUNS = pytest.StashKey[list[Run]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("cases")
    group.addoption("--case", action="append", help="only the case with this name; shows the traffic")
    group.addoption("--surface", action="append", choices=list(Surface), help="only on this surface")
    group.addoption("--every-surface", action="store_true", help="plays every case on all its surfaces")
    group.addoption("--faults", type=Path, help="write the faults to this file, one line each")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each case of the file's kind (`WHAT`)."""
    if "case" in metafunc.fixturenames:
        chosen = [case for case in _chosen(metafunc.config) if case.what == metafunc.module.WHAT]
        metafunc.parametrize("case", chosen, ids=[case.name for case in chosen])


def _chosen(config: pytest.Config) -> list[Case]:
    names = config.getoption("--case", default=None)
    is_all = bool(names) or config.getoption("--every-surface", default=False)
    return [case for case in all_cases(on_every_surface=is_all) if not names or case.name in names]


@pytest.fixture(scope="session")
def outcomes(request: pytest.FixtureRequest, cast: Cast, django_db_blocker: Any) -> Outcomes:
    """The runs of each collected case, all played here."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    chosen = [item.callspec.params["case"] for item in items if "outcomes" in item.fixturenames]
    cases = [case for case in chosen if isinstance(case, Case)]  # pytest has its own value for an empty list
    surfaces = [Surface(letter) for letter in request.config.getoption("--surface", default=None) or Surface]
    with django_db_blocker.unblock():
        runs = play(cases, surfaces, cast)
        snapshot.restore()
    request.config.stash[RUNS] = runs
    found: Outcomes = defaultdict(list)
    for run in runs:
        found[run.case.what, run.case.name].append(run)
    return found


@pytest.fixture
def runs(case: Case, outcomes: Outcomes) -> list[Run]:
    return outcomes[case.what, case.name]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Reports how many cases are right on all their surfaces, and the faults of the others."""
    runs = config.stash.get(RUNS, [])
    lines = [line for run in runs if (line := _fault_line(run))]
    if file := config.getoption("--faults", default=None):
        file.write_text("".join(f"{line}\n" for line in lines))
    if config.getoption("--case", default=None):
        for run in runs:
            terminalreporter.write_sep("=", f"{run.case.name} [{run.surface}]")
            terminalreporter.write_line(transcript(run))
    if runs:
        terminalreporter.write_line("\n".join([*lines, *_figures(runs)]))


def _fault_line(run: Run) -> str:
    where = f"{run.case.what:7} {run.case.kind} / {run.case.name} [{run.surface}]"
    return f"{where}: {'; '.join(run.faults)}"[:500] if run.faults else ""


def _figures(runs: list[Run]) -> list[str]:
    lines = []
    for what in ("stream", "request"):
        played = {run.case.name for run in runs if run.case.what == what}
        wrong = {run.case.name for run in runs if run.case.what == what and run.faults}
        lines.append(f"{what}s: {len(played - wrong)} of {len(played)} cases are right on all surfaces")
    total = Counter(run.surface for run in runs)
    right = Counter(run.surface for run in runs if not run.faults)
    lines.append("; ".join(f"{surface}: {right[surface]} of {total[surface]}" for surface in total))
    return lines
