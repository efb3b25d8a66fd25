"""`manage.py engine_check`: checks that the engine works as we rely on, with hints on how to fix faults."""

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
        "Runs a test turn through the engine and back, without charging any workspace, and explains each "
        "result. Exits with 1 if a step fails; warnings are not failures."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="Print one JSON object instead of text")

    def handle(self, *args: Any, **options: Any) -> None:
        steps = asyncio.run(self._check(is_silent=options["json"]))
        failed = any(step.state == FAILED for step in steps)
        if options["json"]:
            data = [{name: value for name, value in asdict(step).items() if value} for step in steps]
            self.stdout.write(json.dumps({"ok": not failed, "engine": settings.ENGINE, "steps": data}))
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
