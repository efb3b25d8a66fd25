"""`manage.py check_ledger`: proves that the ledger adds up, or prints the differences."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from quotas.ledger_audit import check_ledger


class Command(BaseCommand):
    help = "Compares counters, holds and days with the ledger in one snapshot, also while turns run."

    def handle(self, *args: Any, **options: Any) -> None:
        proof = check_ledger()
        for difference in proof.differences:
            self.stdout.write(difference)
        seen = f"{proof.lines:,} lines, {proof.counters:,} counters, {proof.live_calls:,} calls under way"
        if proof.differences:
            raise CommandError(f"{len(proof.differences)} differences in {seen}.")
        self.stdout.write(f"No differences in {seen}.")
