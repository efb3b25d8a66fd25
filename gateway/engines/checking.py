"""What a check of an engine tells, step by step; and the direct engine's, which needs the model alone."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from django.conf import settings

from gateway.engines.direct import DirectEngine
from kit.errors import DomainError

OK, WARNING, FAILED = "ok", "warning", "failed"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that an engine was asked to prove, in plain words; `mend` says what to do about it.

    `may_pass`: another part may still be starting, so it is worth another try.
    """

    name: str
    state: str
    text: str
    mend: str = ""
    may_pass: bool = False


async def check_direct() -> AsyncGenerator[Step, None]:
    yield Step("engine", OK, "The direct engine runs in our own processes and needs nothing but the model.")
    try:
        await DirectEngine().health()
    except DomainError:
        text = f"The local model does not answer at {settings.LOCAL_MODEL_URL}."
        mend = "`make run` starts one; elsewhere let LOCAL_MODEL_URL name a llama.cpp server that runs."
        yield Step("model", FAILED, text, mend, may_pass=True)
        return
    yield Step("model", OK, f"The local model answers at {settings.LOCAL_MODEL_URL}.")
