"""Is everything well? In words, in figures of the last hours, and in what to look at first. For one account or for all.

Figures of what ended come from `executions.rollup`, a minute or two late; what is going on now is counted, up to a
bound. Nothing here grows with the number of executions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from math import ceil
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from cueapi.models import Account
from cues.models import Cue, CueStatus, Transport
from executions.figures import LATENCY_BOUNDS_S, LATENESS_BOUNDS_S
from executions.models import Alert, AlertType, CountedUntil, Destination, Execution, HourFigures
from executions.states import WAITING, BreakerState, Status

COUNT_MAX = 1000  # "1000" reads as "1000 or more"
SHOWN = 5
LATE_AFTER = timedelta(seconds=10)  # a webhook that waits longer than this, with nothing in its way
ALERTS_LOOK_BACK = timedelta(days=7)
HOUR = timedelta(hours=1)
STATUSES = ("success", "failed", "missed", "outcome_timeout")


@dataclass(frozen=True)
class Range:
    """How far back the figures go, in how many bars."""

    name: str
    words: str
    bar: timedelta
    bars: int


RANGES = {
    one.name: one for one in (Range("24h", "the last 24 hours", HOUR, 24), Range("7d", "the last 7 days", 6 * HOUR, 28))
}


@dataclass(frozen=True)
class Bar:
    """What ended from `start` on, by status."""

    start: datetime
    end: datetime
    ended: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.ended.values())


@dataclass(frozen=True)
class Spread:
    """Half of them took at most p50, 19 of 20 at most p95, in seconds; None where nothing was measured."""

    p50_s: float | None
    p95_s: float | None
    beyond_s: float  # what is longer is only known to be that


@dataclass(frozen=True)
class Overview:
    range: Range
    bars: Sequence[Bar]
    lateness: Spread
    latency: Spread
    counted_until: datetime | None
    waiting: int  # due, and with nothing in their way but their turn
    retrying: int
    awaited: int  # acknowledged, and without an outcome yet
    open_destinations: Sequence[Destination]
    failing: Sequence[Alert]  # the latest of each cue
    alerts: int  # to be acknowledged
    next_due: Sequence[Cue]

    @property
    def ended(self) -> int:
        return sum(bar.total for bar in self.bars)

    @property
    def ended_badly(self) -> int:
        return self.ended - sum(bar.ended["success"] for bar in self.bars)

    @property
    def success_percent(self) -> float | None:
        succeeded = sum(bar.ended["success"] for bar in self.bars)
        return round(100 * succeeded / self.ended, 1) if self.ended else None

    @property
    def troubles(self) -> Sequence[str]:
        """What is not well, the worst first; nothing when all is."""
        return list(self._troubles())

    def _troubles(self) -> Iterator[str]:
        if self.open_destinations:
            yield f"{_many(len(self.open_destinations), 'destination')} not answering, and what is due there waits"
        if self.failing:
            yield f"{_many(len(self.failing), 'cue')} failing again and again"
        if self.waiting:
            yield f"{_many(self.waiting, 'execution')} waiting for longer than {LATE_AFTER.seconds} seconds to be sent"


def _many(count: int, what: str) -> str:
    number = f"{count} or more" if count >= COUNT_MAX else str(count)
    return f"{number} {what} is" if count == 1 else f"{number} {what}s are"


def read(account: Account | None, *, now: datetime, over: Range = RANGES["24h"]) -> Overview:
    """The overview of an account, or of all with None. Some ten queries."""
    mine: dict[str, Any] = {"account": account} if account else {}
    bars, hours = _bars(account, over, now=now)
    mark = CountedUntil.objects.first()
    open_now = Destination.objects.filter(**mine).exclude(state=BreakerState.CLOSED).defer("recent")
    return Overview(
        range=over,
        bars=bars,
        lateness=_spread([hour.lateness for hour in hours], LATENESS_BOUNDS_S),
        latency=_spread([hour.latency for hour in hours], LATENCY_BOUNDS_S),
        counted_until=mark.at if mark else None,
        waiting=_count(Execution.objects.filter(late(now), **mine)),
        retrying=_count(Execution.objects.filter(status=Status.RETRYING, due_at__isnull=False, **mine)),
        awaited=_count(Execution.objects.filter(status=Status.PENDING_OUTCOME, due_at__isnull=False, **mine)),
        open_destinations=list(open_now.order_by("opened_at")[:COUNT_MAX]),
        failing=_failing(mine, now=now),
        alerts=_count(Alert.objects.filter(acknowledged_at=None, **mine)),
        next_due=_next_due(mine, now=now),
    )


def _bars(account: Account | None, over: Range, *, now: datetime) -> tuple[list[Bar], list[HourFigures]]:
    """The last bar is the one that we are in. With the hours that they are made of."""
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    start = this_hour + HOUR - over.bars * over.bar
    hours = list(HourFigures.objects.filter(account=account, hour__gte=start).order_by("hour"))
    bars = []
    for number in range(over.bars):
        begins, ends = start + number * over.bar, start + (number + 1) * over.bar
        inside = [hour for hour in hours if begins <= hour.hour < ends]
        bars.append(Bar(begins, ends, {name: sum(getattr(hour, name) for hour in inside) for name in STATUSES}))
    return bars, hours


def _spread(histograms: Sequence[Sequence[int]], bounds_s: Sequence[float]) -> Spread:
    counts = [0] * (len(bounds_s) + 1)
    for histogram in histograms:
        if len(histogram) == len(counts):
            counts = [one + other for one, other in zip(counts, histogram, strict=True)]
    return Spread(_quantile(counts, bounds_s, 0.5), _quantile(counts, bounds_s, 0.95), bounds_s[-1])


def _quantile(counts: Sequence[int], bounds_s: Sequence[float], share: float) -> float | None:
    """The upper bound of the bucket that it falls in; the last bound for what is beyond all."""
    total = sum(counts)
    if not total:
        return None
    rank = ceil(share * total)
    place = next(index for index, below in enumerate(accumulate(counts)) if below >= rank)
    return bounds_s[min(place, len(bounds_s) - 1)]


def late(now: datetime) -> Q:
    """A condition on executions: webhooks that wait for longer than LATE_AFTER, with nothing in their way."""
    here = Destination.objects.filter(account=OuterRef("account"), lane=OuterRef("lane"))
    due = Q(status__in=sorted(WAITING), due_at__lte=now - LATE_AFTER, transport=Transport.WEBHOOK)
    return due & ~Q(Exists(here.exclude(state=BreakerState.CLOSED)))


def _failing(mine: dict[str, Any], *, now: datetime) -> list[Alert]:
    """The latest alert of each cue that fails in a row and that nobody acknowledged."""
    told = Alert.objects.filter(
        alert_type=AlertType.CONSECUTIVE_FAILURES,
        acknowledged_at=None,
        created_at__gte=now - ALERTS_LOOK_BACK,
        cue__status=CueStatus.ACTIVE,
        **mine,
    )
    latest: dict[str | None, Alert] = {}
    columns = ("cue_id", "cue__name", "message", "created_at", "account_id", "metadata")
    for alert in told.select_related("cue").only(*columns).order_by("-created_at")[:COUNT_MAX]:
        latest.setdefault(alert.cue_id, alert)
    return list(latest.values())


def _next_due(mine: dict[str, Any], *, now: datetime) -> list[Cue]:
    due = Cue.objects.filter(status=CueStatus.ACTIVE, next_run__gte=now, **mine).order_by("next_run")
    return list(due.only("name", "next_run")[:SHOWN])


def _count(rows: "QuerySet[Any]") -> int:
    return rows.order_by()[:COUNT_MAX].count()
