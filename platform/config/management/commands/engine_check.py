"""`manage.py engine_check`: whether the engine does what we rely on, and how to mend what it does not."""

import asyncio
import json
from argparse import ArgumentParser
from contextlib import aclosing
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from config.engine_check_runner import check_engine
from gateway.engines.check_steps import FAILED, OK, WARNING, Step

WORDS = {OK: "ok", WARNING: "warning", FAILED: "FAILED"}


class Command(BaseCommand):
    help = (
        "Runs a turn of the operator's own through the engine and back, at nobody's expense, and says in "
        "plain words what holds. Exits with 1 when something fails; a warning is no failure."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="One JSON object instead of words")

    def handle(self, *args: Any, **options: Any) -> None:
        steps = asyncio.run(self._check(is_silent=options["json"]))
        failed = any(step.state == FAILED for step in steps)
        if options["json"]:
            told = [{name: value for name, value in asdict(step).items() if value} for step in steps]
            self.stdout.write(json.dumps({"ok": not failed, "engine": settings.ENGINE, "steps": told}))
        if failed:
            raise CommandError(f"The engine {settings.ENGINE} is not ready.")

    async def _check(self, *, is_silent: bool) -> list[Step]:
        steps = []
        async with aclosing(check_engine()) as taken:
            async for step in taken:
                steps.append(step)
                if not is_silent:
                    self._show(step)
        return steps

    def _show(self, step: Step) -> None:
        self.stdout.write(f"{WORDS[step.state]:8} {step.name:10} {step.text}")
        if step.mend:
            self.stdout.write(f"{'':19} → {step.mend}")
        self.stdout.flush()
