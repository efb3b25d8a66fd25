"""A run as text, to examine one case."""

from tests.cases.comparison import compact, short
from tests.cases.runs import Run

MOST_CHARACTERS = 3000  # of each part


def transcript(run: Run) -> str:
    lines = [run.case.data["why"], "; ".join(run.faults) or "as expected"]
    for sent in run.play.received:
        lines.append(f"--- the provider received {sent.path}: {short(compact(sent.body), MOST_CHARACTERS)}")
    for answer in run.answers:
        lines.append(f"--- the client received {answer.status} after {answer.seconds:.2f} s {answer.broken}")
        body = answer.body.decode("utf-8", "replace")
        lines += [short(compact(answer.headers), MOST_CHARACTERS), short(body, MOST_CHARACTERS)]
    return "\n".join(lines)
