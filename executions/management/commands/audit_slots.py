"""`manage.py audit_slots`: has every window of every cue exactly one verdict, and every run its execution?"""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.core.management.base import BaseCommand, CommandError, CommandParser

from cueapi import clock
from cueapi.errors import InvalidSchedule
from cues import schedule
from cues.models import Cue
from executions import audit

BATCH = 200
SHOWN_MAX = 50
MONTH = timedelta(days=31)  # the most windows of a cue held in memory at a time


class Command(BaseCommand):
    help = (
        "Work out anew which windows each cue had, hold that against the ledger and the executions, and say what is "
        "missing, double or unexplained. The exit status is 1 if anything is."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--since", default="", help="RFC 3339; without it seven days ago")
        parser.add_argument("--until", default="", help="RFC 3339; without it now")
        parser.add_argument("--cue", default="", help="one cue; without it all")

    def handle(self, *args: Any, **options: Any) -> None:
        now = clock.now()
        since = _instant("--since", options["since"]) or now - timedelta(days=7)
        until = min(_instant("--until", options["until"]) or now, now)
        if since >= until:
            raise CommandError("--since must be before --until and before now.")
        report = self._audit(_cues(options["cue"]), since, until, now=now)
        for finding in report.findings[:SHOWN_MAX]:
            self.stdout.write(str(finding))
        if len(report.findings) > SHOWN_MAX:
            self.stdout.write(f"… and {len(report.findings) - SHOWN_MAX} more")
        self.stdout.write(verdict(report))
        if report.findings:
            raise SystemExit(1)

    def _audit(self, cues: Any, since: datetime, until: datetime, *, now: datetime) -> audit.Report:
        total, report = cues.count(), audit.Report()
        for batch in audit.batches(cues, size=BATCH):
            for start, end in _months(since, until):
                part = audit.audit(batch, since=start, until=end, now=now)
                report.windows += part.windows
                report.findings += part.findings
            report.cues += len(batch)
            self._show(report, total)
        return report

    def _show(self, report: audit.Report, total: int) -> None:
        if self.stderr.isatty():
            self.stderr.write(f"\r{report.cues} of {total} cues, {report.windows} windows", ending="")
            self.stderr.write("\n" if report.cues >= total else "", ending="")


def verdict(report: audit.Report) -> str:
    """The result in one line of words."""
    counts = ", ".join(f"{report.count(kind)} {kind}" for kind in audit.KINDS)
    looked_at = f"{report.windows} windows of {report.cues} cues: {counts}."
    return f"{looked_at} {'Something does not add up: see above.' if report.findings else 'All is accounted for.'}"


def _cues(cue_id: str) -> Any:
    if not cue_id:
        return Cue.objects.all()
    found = Cue.objects.filter(pk=cue_id[:64])
    if not found.exists():
        raise CommandError(f"There is no cue {cue_id[:64]}.")
    return found


def _instant(option: str, text: str) -> datetime | None:
    try:
        return schedule.parse_at(text, ZoneInfo("UTC")) if text else None
    except InvalidSchedule as error:
        raise CommandError(f"{option}: {error.message}") from None


def _months(since: datetime, until: datetime) -> list[tuple[datetime, datetime]]:
    """The period in parts that do not share an instant."""
    parts = []
    while since <= until:
        end = min(since + MONTH, until)
        parts.append((since, end))
        since = end + schedule.TICK
    return parts
