"""`manage.py purge`: remove now what the retention settings no longer keep, or say what that would be."""

from collections.abc import Mapping
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from cueapi import clock
from executions import purging, retention


class Command(BaseCommand):
    help = (
        "Remove what is older than RETENTION_…_DAYS allows, as the hourly task does, and go on until all is done. "
        "It may be stopped and started at any time, and run beside everything else."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only count what would go")

    def handle(self, *args: Any, **options: Any) -> None:
        now = clock.now()
        if options["dry_run"]:
            would_go = {name: rows.count() for name, rows in retention.over(retention.ends(now=now)).items()}
            self._tell(would_go, "would be removed")
            return
        run = purging.purge(now=now, go_on=purging.Pace())
        self._tell(run.removed, "removed")

    def _tell(self, counts: Mapping[str, int], done: str) -> None:
        for name in retention.REMOVED:
            self.stdout.write(f"{name:<20} {counts.get(name, 0):>12,}")
        self.stdout.write(sentence(sum(counts.values()), done))


def sentence(total: int, done: str) -> str:
    """The result in one line of words."""
    if not total:
        return f"Nothing {'was' if done == 'removed' else 'would be'} removed: all that is kept is young enough."
    return f"{total:,} in all {done}; executions go with their attempts, history, mails and calls."
