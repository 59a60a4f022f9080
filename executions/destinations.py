"""Destinations: how much may go out to one now, and what its latest attempts tell of it.

Its breaker, its rate, its cap and its account's cap are looked at together, with its row locked.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from uuid import UUID

from django.db.models import BigAutoField, CharField, Count, UUIDField

from cueapi.conf import conf
from cueapi.prepared import Instances, Select, Update, given
from cues.models import Transport
from executions.breaker import CLOSED, OPEN, Limits
from executions.lanes import Lane
from executions.models import Destination, Execution
from executions.pace import Pace
from executions.states import Status

log = logging.getLogger(__name__)

KEPT_ATTEMPTS = 100  # for the success rate and the latency
FAST_MS, FAST_AFTER = 25, 10  # a receiver is fast when the median of its latest ten attempts is below
FAST_SENDERS = 3  # requests at a time that keep a fast receiver busy
FAST_BATCH = 50  # attempts taken up at a time for a fast receiver
CAP_WAIT = timedelta(seconds=0.5)  # when an account is at its cap, its other lanes are looked at again after this
NEVER = datetime.min.replace(tzinfo=UTC)
LOOKED_LATELY = timedelta(seconds=5)
LOST_MARGIN = timedelta(seconds=10)  # a request that has lasted so much longer than it may is not in flight any more


@dataclass(frozen=True)
class Room:
    """What may be taken up. `look_at` is when to look again, where a limit of time or of the account is why."""

    attempts: int  # to claim
    senders: int = 0  # requests in flight at a time
    look_at: datetime | None = None


@dataclass(frozen=True)
class Tried:
    """An attempt as its destination sees it. `answered` is None when it tells nothing about it."""

    duration_ms: int
    answered: bool | None
    complaint: str


FIXED = {"id", "account_id", "lane", "rate_per_minute", "nudged_at"}  # by others, or for good

_held = Instances(
    Destination,
    lambda: Destination.objects.select_for_update().filter(
        account=given("account", UUIDField()), lane=given("lane", CharField())
    ),
)
_written = Update(
    lambda: Destination.objects.filter(pk=given("id", BigAutoField())),
    **{
        column.attname: given(column.attname, column)
        for column in Destination._meta.concrete_fields
        if column.attname not in FIXED
    },
)
_in_flight = Select(
    lambda: (
        Execution.objects.filter(
            account=given("account", UUIDField()), status=Status.DELIVERING, transport=Transport.WEBHOOK
        )
        .values_list("lane", "last_attempt_at", "cue__delivery_timeout_s")
        .annotate(Count("pk"))
    )
)
_senders = Select(
    lambda: Destination.objects.filter(
        account=given("account", UUIDField()), lane__among=given("lanes", CharField(), many=True)
    ).values_list("lane", "senders")
)


def limits() -> Limits:
    settings = conf()
    return Limits(
        failures=settings.breaker_failures,
        probe=timedelta(seconds=settings.breaker_probe_seconds),
        probe_max=timedelta(seconds=settings.breaker_probe_max_seconds),
        concurrency=settings.lane_concurrency,
    )


def hold(lane: Lane) -> Destination:
    """The lane's destination, locked until the transaction ends; made when it is new."""
    found = _held.first(account=lane.account_id, lane=lane.origin)
    if found is None:
        new = Destination(account_id=lane.account_id, lane=lane.origin)
        Destination.objects.bulk_create([new], ignore_conflicts=True)
        (found,) = _held.all(account=lane.account_id, lane=lane.origin)
    return found


def save(destination: Destination) -> None:
    """Call with the row locked."""
    _written.run(**vars(destination))


def is_forgotten(destination: Destination, *, now: datetime) -> bool:
    """Whether nobody looks for work for it, though somebody should: with its row locked."""
    if not destination.breaker.room(limits(), now=now):
        return False
    nudged, looked = destination.nudged_at or NEVER, destination.looked_at or NEVER
    is_on_its_way = nudged > looked and nudged > now - timedelta(seconds=conf().requeue_after_seconds)
    return not is_on_its_way and looked <= now - LOOKED_LATELY


# --- How much may go out ----------------------------------------------------------------------------------------


def room(destination: Destination, *, mine: int, now: datetime) -> Room:
    """How much a sender that has `mine` of the lane's claimed executions may take up beside them."""
    allowed = destination.breaker.room(limits(), now=now)
    if not allowed:
        return Room(0, look_at=destination.probe_at)
    claimed = claimed_by_lane(destination.account_id, now=now)
    others = max(0, claimed[destination.lane] - mine)
    free = _free_to_account(destination, claimed)
    senders = max(0, min(allowed - others, free))
    attempts = senders
    if not others and is_fast(destination):
        attempts, senders = FAST_BATCH, min(FAST_SENDERS, senders)
    attempts = max(0, attempts - mine) if senders else 0
    paced, look_at = _paced(destination, now=now)
    if not senders and free <= 0:
        look_at = now + CAP_WAIT
    return Room(min(attempts, paced), senders, look_at)


def is_fast(destination: Destination) -> bool:
    """Whether its receiver answers so quickly that claiming one by one would take longer than sending."""
    latest = destination.recent[-FAST_AFTER:]
    if destination.state != CLOSED or destination.allowed is not None or len(latest) < FAST_AFTER:
        return False
    return bool(median(duration_ms for duration_ms, _ in latest) < FAST_MS)


def claimed_by_lane(account_id: UUID, *, now: datetime) -> Counter[str]:
    """The account's attempts under way, without those whose sender must have died."""
    default_s = conf().webhook_timeout_seconds
    claimed: Counter[str] = Counter()
    for lane, started_at, limit_s, count in _in_flight.rows(account=account_id):
        if started_at is None or now < started_at + timedelta(seconds=limit_s or default_s) + LOST_MARGIN:
            claimed[lane] += count
    return claimed


def _free_to_account(destination: Destination, claimed: Counter[str]) -> int:
    """How many requests at a time the account's cap leaves to this lane."""
    cap = conf().max_concurrent_deliveries_per_user
    others = {lane: count for lane, count in claimed.items() if lane != destination.lane}
    if not others:
        return cap
    senders: dict[str, int] = dict(_senders.rows(account=destination.account_id, lanes=others))
    return cap - sum(min(count, senders.get(lane, count)) for lane, count in others.items())


def _paced(destination: Destination, *, now: datetime) -> tuple[int, datetime | None]:
    """How many attempts the destination's rate lets start, and when it lets the next one."""
    if not destination.rate_per_minute:
        return FAST_BATCH, None
    pace = Pace.even(destination.rate_per_minute, destination.next_at)
    starting = pace.starting(now=now)
    return starting, pace.after(starting, now=now)


def take(destination: Destination, room: Room, attempts: int, *, now: datetime) -> None:
    """So many attempts start. Call with the row locked; `room` is what it allowed."""
    destination.looked_at = now
    if attempts:
        destination.senders = room.senders
        if destination.rate_per_minute:
            pace = Pace.even(destination.rate_per_minute, destination.next_at)
            destination.next_at = pace.after(attempts, now=now)
        if destination.state != CLOSED:
            lost_at = now + timedelta(seconds=conf().webhook_timeout_seconds) + LOST_MARGIN
            destination.breaker = destination.breaker.probing(lost_at=lost_at)
    save(destination)


# --- What came back ---------------------------------------------------------------------------------------------


def note(destination: Destination, tried: Sequence[Tried], *, now: datetime) -> bool:
    """Write down these attempts, in their order. Call with the row locked. True when that opened the breaker."""
    telling = [one for one in tried if one.answered is not None]
    before = destination.breaker
    destination.breaker = after = before.after((bool(one.answered) for one in telling), limits(), now=now)
    destination.recent = [*destination.recent, *([one.duration_ms, int(bool(one.answered))] for one in telling)]
    del destination.recent[:-KEPT_ATTEMPTS]
    opened = before.state == CLOSED and after.state == OPEN
    if opened:
        destination.reason = next(one.complaint for one in reversed(telling) if not one.answered)[:300]
        log.warning("destination.opened", extra={"destination": destination.lane, "reason": destination.reason})
    save(destination)
    return opened
