"""Delivering one lane: claim (a short transaction), send (none), record (a short transaction), until nothing is due.

Only what is about to be sent is claimed, so a crash costs a moment of records. Nobody holds a worker's thread for
long: after SLICE_S the lane claims no more and stands in line again, and a lane whose receiver keeps everybody waiting
is left; what is in flight is recorded when it ends, and brings the lane back.
"""

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any
from uuid import UUID

from django.db import DatabaseError, connections, transaction

from cueapi import accounts, clock, tracing, usage
from cueapi.conf import conf
from cueapi.logging import about
from cueapi.turns import taking_turns
from executions import closing, destinations, due, failures, lanes, lifecycle, pacing, recording
from executions.destinations import Room
from executions.due import Due
from executions.flight import Flight, Threads
from executions.lanes import Lane
from executions.models import Execution
from executions.states import WAITING, Status
from executions.transports import webhook
from executions.transports.webhook import Delivery, Result
from executions.visits import Visit, Visits

log = logging.getLogger(__name__)

SENDERS_MAX = 256  # threads of this process that wait for receivers; started only as needed
SLICE_S = 0.5  # how long a lane may claim before others have their turn
STAY_MAX_S = 2.0  # how long it has the worker's thread for what it claimed: on a busy machine that takes longer
GATHER_S = 0.1  # how long those that have landed wait for the others, to be recorded together
PATIENCE_S = 0.3  # a lane from which nothing came for so long is left
RECORDED_MAX = 100  # late results in one transaction
REFUSED_MAX = 100
RECORDING_MAX_S = 10.0  # for the last results, when the worker stops
FIRST_TRIES = (Status.PENDING,)
RETRIES = (Status.RETRYING, Status.RETRY_READY)

Tick = Callable[[], datetime]
VISITS = Visits()  # of this process


@dataclass(frozen=True)
class Claim:
    """What one look at a lane took up."""

    deliveries: Sequence[Delivery]
    room: Room

    @property
    def may_have_left_some(self) -> bool:
        """Or kept another from taking some, by taking more than goes out at a time."""
        return len(self.deliveries) >= min(self.room.attempts, conf().lane_concurrency)


def drain(lane: Lane, *, tick: Tick = clock.now, visits: Visits = VISITS) -> None:
    """Deliver what is due in the lane, within its limits. Returns after STAY_MAX_S or so at most.

    At once where another of these `visits` is under way, whose visitor then looks again.
    """
    lanes.taken_up(lane)
    with visits.to(lane) as visit:
        if visit is None:
            return
        look_at = _stay(lane, visit, tick)
    if visit.was_called():
        look_at = tick()
    if look_at is not None:
        lanes.nudge([lane], at=look_at, now=tick())


def _stay(lane: Lane, visit: Visit, tick: Tick) -> datetime | None:
    """When to look at the lane again, unless what is in flight will say so."""
    flight = Flight(_senders(), partial(_send_in, lane, tick=tick), partial(_record_late, lane, tick=tick))
    look_at, is_left_waiting = _fly(lane, flight, visit, tick)
    unsent, landed = flight.leave()
    recording.record(landed, now=tick())
    _hand_back(unsent, now=tick())
    if is_left_waiting and not flight.count:
        return tick()  # nothing is in flight any more that would bring the lane back
    return look_at


def _fly(lane: Lane, flight: Flight, visit: Visit, tick: Tick) -> tuple[datetime | None, bool]:
    """Claim, send and record in turn. When to look at the lane again; whether that is left to what is in flight."""
    pace, claim = _Pace(), _claim(lane, flight, tick)
    while flight.held:
        landed = flight.wait(GATHER_S)
        recording.record(landed, now=tick())
        if pace.is_kept_waiting(landed):
            return None, True
        if pace.may_claim and (visit.was_called() or claim.may_have_left_some):
            claim = _claim(lane, flight, tick)
        elif not pace.may_claim and not (flight.unsent and pace.may_stay):
            return (tick() if claim.may_have_left_some else None), False
    return claim.room.look_at, False


def _claim(lane: Lane, flight: Flight, tick: Tick) -> Claim:
    claim = take(lane, mine=flight.held, now=tick())
    flight.add(claim.deliveries, claim.room.senders)
    return claim


class _Pace:
    """How long a visit has lasted, and how long nothing has come back."""

    def __init__(self) -> None:
        self._started = self._heard = time.monotonic()

    @property
    def may_claim(self) -> bool:
        return self._lasts_at_most(SLICE_S)

    @property
    def may_stay(self) -> bool:
        return self._lasts_at_most(STAY_MAX_S)

    def is_kept_waiting(self, landed: Sequence[Result]) -> bool:
        now = time.monotonic()
        self._heard = now if landed else self._heard
        return now - self._heard > PATIENCE_S

    def _lasts_at_most(self, seconds: float) -> bool:
        return time.monotonic() - self._started <= seconds and not _stopping.is_set()


def _hand_back(unsent: Sequence[Delivery], *, now: datetime) -> None:
    """What was claimed and not sent waits again, as if it had not been claimed."""
    if not unsent:
        return
    with taking_turns(), transaction.atomic():
        lifecycle.hand_back({one.execution_id: one.attempt for one in unsent}, now=now)


def _send_in(lane: Lane, delivery: Delivery, *, tick: Tick) -> Result:
    """The same for the log, and traced."""
    ids = {"cue_id": delivery.cue_id, "execution_id": str(delivery.execution_id)}
    with (
        about(account=lane.account_id, cue=delivery.cue_id, execution=delivery.execution_id),
        tracing.span("delivery", delivery.traceparent, **ids, attempt=delivery.attempt) as span,
    ):
        result = _send(_traced(delivery, span.traceparent), tick=tick)
        span.tell(result=result.error_stage or "ok", http_response_status_code=result.http_status or 0)
    return result


def _traced(delivery: Delivery, traceparent: str) -> Delivery:
    return replace(delivery, traceparent=traceparent) if traceparent else delivery


def _send(delivery: Delivery, *, tick: Tick) -> Result:
    """One attempt, in a sender's thread. A bug of ours is a failed attempt too, so that it is recorded and retried."""
    started_at = tick()
    try:
        result = webhook.send(delivery, now=started_at)
    except Exception:
        log.exception("delivery.crashed", extra={"execution": delivery.execution_id})
        result = Result(delivery, started_at, 0, error_stage="internal", error_message="The attempt could not be made.")
    log.info(
        "delivery.attempted",
        extra={
            "execution": delivery.execution_id,
            "cue": delivery.cue_id,
            "attempt": delivery.attempt,
            "status": result.http_status,
            "stage": result.error_stage or "ok",
            "error": result.error_message,
            "duration_ms": result.duration_ms,
        },
    )
    return result


# --- Claim ------------------------------------------------------------------------------------------------------


def take(lane: Lane, *, mine: int = 0, now: datetime) -> Claim:
    """Claim as many as there is room for of what is due and free, first tries before retries."""
    with taking_turns(), transaction.atomic():
        destination = destinations.hold(lane)
        room = destinations.room(destination, mine=mine, now=now)
        sifted = pacing.sift(lane, partial(_due, lane, room.attempts, now=now), room.attempts, now=now)
        ready, room = sifted.ready, room if sifted.is_all else replace(room, look_at=now)
        account = due.account_of(lane.account_id) if ready else None
        refused = account is not None and usage.is_refused(account, now=now)
        taken = [] if refused else ready
        if taken:
            lifecycle.start_attempts(taken, due_at=now + max(map(stale_after, taken)), now=now)
        pacing.spend(lane, sifted, taken, now=now)
        destinations.take(destination, room, len(taken), now=now)
    if refused:
        _refuse(lane, now=now)
    if account is None or refused:
        return Claim([], room)
    secrets = accounts.signing_secrets(account, now=now)
    return Claim([one.delivery(secrets, attempt=one.attempts + 1, now=now) for one in taken], room)


def _due(lane: Lane, at_most: int, *, now: datetime) -> Sequence[Due]:
    """Locked. Of a full house one place goes to a retry, so that none waits for ever behind new work."""
    if at_most <= 0:
        return []
    first = due.lock(lane, FIRST_TRIES, at_most, now=now)
    left = max(at_most - len(first), 1)
    again = due.lock(lane, RETRIES, left, now=now) if at_most > 1 or not first else []
    return [*first[: at_most - len(again)], *again]


def _refuse(lane: Lane, *, now: datetime) -> None:
    """End what is due here: its account is past its monthly limit and the grace (contract 8.2)."""
    with taking_turns(), transaction.atomic():
        waiting = lifecycle.lock_some(lanes.waiting(lane, *WAITING, now=now), REFUSED_MAX)
        same: dict[str, Any] = {"reason": usage.REFUSAL, "error_message": usage.REFUSAL, "stage": failures.QUOTA}
        for execution in sorted(waiting, key=_cue_first):
            closing.close(execution, Status.FAILED, now=now, **same)
    if len(waiting) == REFUSED_MAX:
        lanes.nudge([lane], now=now)


def _cue_first(execution: Execution) -> tuple[str, UUID]:
    """As everybody takes cues, so that none waits in a circle."""
    return execution.cue_id, execution.pk


def stale_after(taken: Due) -> timedelta:
    """How long an attempt may be without a result before its sender counts as dead (contract 6.6)."""
    settings = conf()
    margin_s = settings.execution_stale_margin_seconds
    return timedelta(seconds=max(settings.execution_stale_after_seconds, taken.time_limit_s + margin_s))


# --- What ends late ---------------------------------------------------------------------------------------------

_late: queue.SimpleQueue[tuple[Lane, Result]] = queue.SimpleQueue()
_stopping = threading.Event()


@cache
def _senders() -> Threads:
    return Threads("sender", SENDERS_MAX)


@cache
def _recorder() -> Threads:
    """One thread, so that slow receivers cost one database connection however many they are."""
    return Threads("recorder", 1)


def _record_late(lane: Lane, result: Result, *, tick: Tick) -> None:
    _late.put((lane, result))
    _recorder().run(partial(_record_landed, tick))


def _record_landed(tick: Tick) -> None:
    """Record what outlasted its slice, all there is at once, and bring its lanes back."""
    landed: list[tuple[Lane, Result]] = []
    with contextlib.suppress(queue.Empty):
        while len(landed) < RECORDED_MAX:
            landed.append(_late.get_nowait())
    try:
        recording.record([result for _, result in landed], now=tick())
        lanes.nudge({lane for lane, _ in landed}, now=tick())
    except DatabaseError:
        log.exception("delivery.not_recorded", extra={"executions": [r.delivery.execution_id for _, r in landed]})
    finally:
        connections.close_all()


def finish() -> None:
    """The last act of a worker that is asked to stop: what is in flight has so long to end, then it is given up."""
    _stopping.set()
    _senders().wait(conf().worker_stop_seconds)
    _recorder().wait(RECORDING_MAX_S)
    for flight in list(Flight.everyone):
        for delivery in flight.still_flying():
            recording.give_up(delivery, now=clock.now())
