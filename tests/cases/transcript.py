"""A run in words, for whoever looks into one case."""

from tests.cases.matching import compact, short
from tests.cases.runs import Run

MOST = 3000


def transcript(run: Run) -> str:
    lines = [run.case.data["why"], "; ".join(run.faults) or "as expected"]
    for sent in run.play.received:
        lines.append(f"--- the provider received {sent.path}: {short(compact(sent.body), MOST)}")
    for answer in run.answers:
        lines.append(f"--- the client received {answer.status} after {answer.seconds:.2f} s {answer.broken}")
        body = answer.body.decode("utf-8", "replace")
        lines += [short(compact(answer.headers), MOST), short(body, MOST)]
    return "\n".join(lines)
