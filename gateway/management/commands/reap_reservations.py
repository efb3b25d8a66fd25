"""`manage.py reap_reservations`: ends the turns whose runner has gone, as the periodic job does."""

import asyncio
from typing import Any

from django.core.management.base import BaseCommand

from gateway.turns.closing import recover_turns


class Command(BaseCommand):
    help = "Releases what lost turns hold, writes off what they sent, and keeps what they had written."

    def handle(self, *args: Any, **options: Any) -> None:
        reaped = asyncio.run(recover_turns())
        self.stdout.write(f"{reaped} lost {'turn' if reaped == 1 else 'turns'} ended.")
