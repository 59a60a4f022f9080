"""Destinations as people see and steer them: how each does, its breaker by hand, its rate."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from uuid import UUID

from django.db import transaction
from django.db.models import Count, OuterRef, QuerySet, Subquery

from cueapi import trail
from cueapi.errors import NotFound
from cueapi.models import Account, AuditAction, SubjectType
from cueapi.trail import Change, Subject
from cues.models import Transport
from executions import destinations, lanes
from executions.breaker import CLOSED
from executions.lanes import Lane
from executions.models import Destination, Execution
from executions.states import WAITING

RATE_MAX = 1_000_000  # attempts a minute
ID = re.compile(r"[1-9][0-9]{0,17}")


class DestinationNotFound(NotFound):
    """No destination with that id. List yours with GET /v1/destinations."""

    code = "destination_not_found"


@dataclass(frozen=True)
class Sight:
    """A destination and its figures."""

    destination: Destination
    room: int
    waiting: int
    in_flight: int

    @property
    def success_rate(self) -> float | None:
        """Of its latest attempts, the share that it answered."""
        recent = self.destination.recent
        return round(sum(answered for _, answered in recent) / len(recent), 3) if recent else None

    def latency_ms(self, share: float) -> int | None:
        return latency_ms(self.destination.recent, share)


def latency_ms(recent: Sequence[tuple[int, int]], share: float) -> int | None:
    """What this share of these attempts did not exceed, by nearest rank."""
    ordered = sorted(duration_ms for duration_ms, _ in recent)
    return ordered[ceil(share * len(ordered)) - 1] if ordered else None


def sights(account: Account, *, now: datetime, part: str = "", at_most: int | None = None) -> Sequence[Sight]:
    """Those of the account's that have `part` in their name, in trouble first, then those with most to do.

    Of more than `at_most`, those in trouble and then the first by name.
    """
    rows = Destination.objects.filter(account=account, lane__icontains=part).order_by("-state", "lane")
    found = _seen(account.pk, rows[:at_most], now=now)
    return sorted(found, key=lambda one: (not one.destination.breaker.is_holding, -one.waiting, one.destination.lane))


def _seen(account_id: UUID, rows: Iterable[Destination], *, now: datetime) -> list[Sight]:
    waiting, in_flight = _waiting_by_lane(account_id), destinations.claimed_by_lane(account_id, now=now)
    limits = destinations.limits()
    return [Sight(row, row.breaker.room(limits, now=now), waiting[row.lane], in_flight[row.lane]) for row in rows]


def _waiting_by_lane(account_id: UUID) -> Counter[str]:
    rows = _waiting().filter(account=account_id)
    return Counter(dict(rows.order_by().values_list("lane").annotate(Count("pk"))))


def with_backlog(rows: QuerySet[Destination]) -> QuerySet[Destination]:
    """Each with what waits for it (`waiting`), null for none."""
    of_lane = _waiting().filter(account=OuterRef("account"), lane=OuterRef("lane")).order_by()
    counted = of_lane.values("lane").annotate(count=Count("pk")).values("count")
    return rows.annotate(waiting=Subquery(counted))


def _waiting() -> QuerySet[Execution]:
    rows: QuerySet[Execution] = Execution.objects.filter(
        transport=Transport.WEBHOOK, status__in=sorted(WAITING), due_at__isnull=False
    )
    return rows


def in_the_way(execution: Execution) -> Destination | None:
    """The destination whose breaker keeps this execution waiting."""
    if execution.transport != Transport.WEBHOOK or execution.status not in WAITING:
        return None
    rows = Destination.objects.filter(account=execution.account_id, lane=execution.lane).exclude(state=CLOSED)
    found: Destination | None = rows.first()
    return found


@dataclass(frozen=True)
class Wait:
    """What keeps an execution waiting: its destination, or its cue's rate, which says until when."""

    destination: str
    state: str
    reason: str
    next_probe_at: datetime | None = None
    rate_per_minute: int | None = None
    until: datetime | None = None


def waits_for(execution: Execution) -> Wait | None:
    """What keeps this execution waiting, apart from its own time."""
    destination = in_the_way(execution)
    if destination is not None:
        return Wait(destination.lane, destination.state, destination.reason, destination.probe_at)
    rate = execution.cue.rate_per_minute
    if not execution.waits_for_rate or rate is None:
        return None
    reason = f"Its cue may start {rate} attempts a minute (delivery.rate_per_minute), and others come first."
    return Wait(execution.lane, CLOSED, reason, rate_per_minute=rate, until=execution.due_at)


def open_by_hand(account: Account, destination_id: str, *, now: datetime) -> Sight:
    """Nothing goes out to it until somebody closes it. Raises DestinationNotFound."""
    with transaction.atomic():
        destination = _own(account, destination_id)
        before = _facts(destination)
        destination.breaker = destination.breaker.opened_by_hand(now=now)
        destination.reason = "opened by hand"
        destinations.save(destination)
        _record(AuditAction.DESTINATION_OPENED, destination, before, now=now)
    return _sight(destination, now=now)


def close_by_hand(account: Account, destination_id: str, *, now: datetime) -> Sight:
    """Requests go out again, few at first; nothing changes for one that is closed. Raises DestinationNotFound."""
    with transaction.atomic():
        destination = _own(account, destination_id)
        if destination.breaker.is_holding:
            before = _facts(destination)
            destination.breaker = destination.breaker.closed_by_hand()
            destinations.save(destination)
            _record(AuditAction.DESTINATION_CLOSED, destination, before, now=now)
        lanes.nudge([Lane(destination.account_id, destination.lane)], now=now)
    return _sight(destination, now=now)


def set_rate(account: Account, destination_id: str, rate_per_minute: int | None, *, now: datetime) -> Sight:
    """How many attempts a minute may start; None is no limit. Raises DestinationNotFound."""
    with transaction.atomic():
        destination = _own(account, destination_id)
        before = _facts(destination)
        destination.rate_per_minute, destination.next_at = rate_per_minute, None
        destination.save(update_fields=["rate_per_minute", "next_at"])
        _record(AuditAction.DESTINATION_PACED, destination, before, now=now)
        lanes.nudge([Lane(destination.account_id, destination.lane)], now=now)
    return _sight(destination, now=now)


def _facts(destination: Destination) -> trail.Facts:
    """What people steer."""
    breaker = destination.breaker
    return {
        "state": breaker.state.value,
        "opened_by_hand": breaker.is_open_by_hand,
        "rate_per_minute": destination.rate_per_minute,
    }


def _record(action: AuditAction, destination: Destination, before: trail.Facts, *, now: datetime) -> None:
    subject = Subject(SubjectType.DESTINATION, destination.pk, destination.lane, destination.account_id)
    trail.record_difference(Change(action, subject, before, _facts(destination)), now=now)


def _own(account: Account, destination_id: str) -> Destination:
    """Locked."""
    if not ID.fullmatch(destination_id):
        raise DestinationNotFound()
    row = Destination.objects.select_for_update().filter(account=account, pk=int(destination_id)).first()
    if row is None:
        raise DestinationNotFound()
    return row


def _sight(destination: Destination, *, now: datetime) -> Sight:
    (only,) = _seen(destination.account_id, [destination], now=now)
    return only
