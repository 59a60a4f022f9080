"""Adds what ended to the figures of its hour, each execution once, a stretch of time in one transaction.

The row that says up to when all is counted is held meanwhile and moved on with the figures: of two who count at once
one goes away, and one who stops half-way leaves no trace. An end is stamped before it commits, so the last minute is
left out; what takes longer than that to commit is not counted.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from cueapi.turns import taking_turns
from executions.figures import LATENCY_BOUNDS_S, LATENESS_BOUNDS_S
from executions.models import CountedUntil, Execution, HourFigures
from executions.states import FINAL

SETTLED_AFTER = timedelta(minutes=1)
LOOKS_BACK = timedelta(hours=24)  # of a server that counts for the first time
STRETCH = timedelta(hours=1)  # at a time
ROWS_MAX = 5000  # at a time; those of one instant are counted together
KEPT_FOR = timedelta(days=90)
COLUMNS = ("account_id", "closed_at", "status", "scheduled_for", "started_at", "last_attempt_at", "delivered_at")
STATUSES = tuple(sorted(FINAL))

Key = tuple[UUID | None, datetime]


@dataclass
class Counts:
    """Of one hour."""

    ended: dict[str, int] = field(default_factory=lambda: dict.fromkeys(map(str, STATUSES), 0))
    lateness: list[int] = field(default_factory=lambda: [0] * (len(LATENESS_BOUNDS_S) + 1))
    latency: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BOUNDS_S) + 1))

    def add(self, row: dict[str, Any]) -> None:
        self.ended[row["status"]] += 1
        _observe(self.lateness, LATENESS_BOUNDS_S, row["scheduled_for"], row["started_at"])
        _observe(self.latency, LATENCY_BOUNDS_S, row["last_attempt_at"], row["delivered_at"])


def _observe(counts: list[int], bounds_s: Sequence[float], start: datetime | None, end: datetime | None) -> None:
    if start is not None and end is not None:
        counts[bisect_left(bounds_s, (end - start).total_seconds())] += 1


def count(*, now: datetime) -> bool:
    """Count one stretch of time. Whether there is another to count; False while somebody else counts."""
    settled = now - SETTLED_AFTER
    with taking_turns(), transaction.atomic():
        mark = _mark(now)
        if mark is None or mark.at >= settled:
            return False
        rows, mark.at = _ended(mark.at, settled)
        _write(_by_hour(rows))
        mark.save(update_fields=["at"])
    return mark.at < settled


def forget(*, now: datetime) -> int:
    """Delete the hours that are over KEPT_FOR old."""
    return HourFigures.objects.filter(hour__lt=now - KEPT_FOR).delete()[0]


def _mark(now: datetime) -> CountedUntil | None:
    """The row, held; None while another holds it."""
    CountedUntil.objects.bulk_create([CountedUntil(pk=1, at=now - LOOKS_BACK)], ignore_conflicts=True)
    return CountedUntil.objects.select_for_update(skip_locked=True).filter(pk=1).first()


def _ended(since: datetime, latest: datetime) -> tuple[Sequence[dict[str, Any]], datetime]:
    """What ended from `since` on, and up to when that is all of it."""
    until = min(since + STRETCH, latest)
    rows = sorted(_scan(since, until), key=lambda row: row["closed_at"])
    if len(rows) <= ROWS_MAX:
        return rows, until
    until = rows[ROWS_MAX]["closed_at"]
    if rows[0]["closed_at"] == until:  # all of one instant: they are not divided
        until += timedelta(microseconds=1)
        return list(_all_of(since, until)), until
    return [row for row in rows if row["closed_at"] < until], until


def _scan(since: datetime, until: datetime) -> Iterator[dict[str, Any]]:
    """The first of them, one more than is counted."""
    for rows in _ended_within(since, until):
        yield from rows.order_by("closed_at")[: ROWS_MAX + 1]


def _all_of(since: datetime, until: datetime) -> Iterator[dict[str, Any]]:
    for rows in _ended_within(since, until):
        yield from rows.iterator()


def _ended_within(since: datetime, until: datetime) -> Iterator[Any]:
    """Those with bodies, then those without: each has an index of its own."""
    for bodies in (Q(bodies_removed_at=None), Q(bodies_removed_at__isnull=False)):
        yield Execution.objects.filter(bodies, closed_at__gte=since, closed_at__lt=until).values(*COLUMNS)


def _by_hour(rows: Iterable[dict[str, Any]]) -> dict[Key, Counts]:
    """By account and hour; under None, those of all accounts together."""
    found: dict[Key, Counts] = {}
    for row in rows:
        hour = row["closed_at"].replace(minute=0, second=0, microsecond=0)
        for account_id in (row["account_id"], None):
            found.setdefault((account_id, hour), Counts()).add(row)
    return found


def _write(counts: dict[Key, Counts]) -> None:
    """Add to what is there. Nobody else does meanwhile, as the mark is held."""
    if not counts:
        return
    hours = {hour for _, hour in counts}
    accounts = {account_id for account_id, _ in counts if account_id}
    there = HourFigures.objects.filter(Q(account__in=accounts) | Q(account=None), hour__in=hours)
    known = {(row.account_id, row.hour): row for row in there}
    new = [HourFigures(account_id=account_id, hour=hour) for account_id, hour in counts.keys() - known.keys()]
    for row in [*known.values(), *new]:
        if (row.account_id, row.hour) in counts:
            _add(row, counts[row.account_id, row.hour])
    HourFigures.objects.bulk_create(new)
    HourFigures.objects.bulk_update(known.values(), [*STATUSES, "lateness", "latency"], batch_size=200)


def _add(row: HourFigures, counts: Counts) -> None:
    for status, number in counts.ended.items():
        setattr(row, status, getattr(row, status) + number)
    row.lateness = _sum(row.lateness, counts.lateness)
    row.latency = _sum(row.latency, counts.latency)


def _sum(before: Sequence[int], more: Sequence[int]) -> list[int]:
    """Bucket by bucket; what was counted by other bounds, as by another version, is left behind."""
    return [one + other for one, other in zip(before, more, strict=True)] if len(before) == len(more) else list(more)
