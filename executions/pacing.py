"""A cue's own rate: so many attempts of it may start in any minute, and those over it make way for other cues' work.

What is over the rate is put off to the time that the rate has for it, each execution to its own: it is not due until
then, so whoever looks for due work meets it once, however many there are. New ones queue behind those that wait; one
that could not start at its time, as when its destination was down, goes before them.

A cue's pace is a row. Whoever starts attempts locks it last: destination, executions, pace.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.db.models.signals import post_save

from cueapi import clock
from cues.models import Cue, Transport
from executions import destinations, due, lanes, lifecycle
from executions.due import Due
from executions.lanes import Lane
from executions.models import CuePace, Execution
from executions.pace import Pace
from executions.states import WAITING, Status

SCANNED_MAX = 1000  # due executions of a lane that are looked at together
ROUNDS_MAX = 12  # in one transaction; what is left then, the next one puts off
SCANNED = ((Status.PENDING,), (Status.RETRYING, Status.RETRY_READY))  # apart, as they are taken up
SCANNED_COLUMNS = ("pk", "cue_id", "due_at", "paced_at")

Look = Callable[[], Sequence[Due]]


@dataclass(frozen=True)
class Sifted:
    """What may start now. `is_all` is False when more is due that may, or that is to be put off."""

    ready: Sequence[Due]
    is_all: bool = True
    paces: Mapping[str, CuePace] = field(default_factory=dict)  # locked


@dataclass(frozen=True)
class Waiting:
    pk: UUID
    cue_id: str
    due_at: datetime
    paced_at: datetime | None

    @property
    def had_its_turn(self) -> bool:
        return self.paced_at == self.due_at


# --- What may start ---------------------------------------------------------------------------------------------


def sift(lane: Lane, look: Look, at_most: int, *, now: datetime) -> Sifted:
    """Of what is due, `at_most` as `look` finds it, what may start; the rest is put off. Call with the lane held."""
    sifted = Sifted([])
    for _ in range(ROUNDS_MAX):
        found = look()
        cues = {one.cue_id for one in found if one.rate_per_minute}
        if not cues:
            return Sifted(found, paces=sifted.paces)
        paces = {**sifted.paces, **hold(lane, cues - sifted.paces.keys(), now=now)}
        ready = _within(found, paces, now=now)
        sees_all = len(found) < at_most
        sifted = Sifted(ready, sees_all or len(ready) == len(found), paces)
        if len(ready) < len(found):
            _put_off(lane, ready, paces, at_most if sees_all else SCANNED_MAX, now=now)
        if sifted.is_all:
            break
    return sifted


def hold(lane: Lane, cues: Collection[str], *, now: datetime) -> Mapping[str, CuePace]:
    """The paces of those of the cues that have a rate, locked until the transaction ends."""
    if not cues:
        return {}
    missing = set(cues) - {pace.cue_id for pace in _locked(cues)}
    if missing:
        new = [CuePace(cue_id=cue_id, rate_per_minute=rate) for cue_id, rate in _rates(missing).items()]
        CuePace.objects.bulk_create(new, ignore_conflicts=True)
    paces = {pace.cue_id: pace for pace in _locked(cues)}
    rates = _rates(cues)  # read with the rows locked: what changes from now on comes after us
    for cue_id, rate in rates.items():
        _adopt(lane, paces[cue_id], rate, now=now)
    return {cue_id: paces[cue_id] for cue_id in rates}


def _locked(cues: Collection[str]) -> Iterable[CuePace]:
    return list(CuePace.objects.select_for_update().filter(pk__in=cues).order_by("pk"))


def _rates(cues: Collection[str]) -> Mapping[str, int]:
    rows = Cue.objects.filter(pk__in=cues).values_list("pk", "rate_per_minute")
    return {cue_id: rate for cue_id, rate in rows if rate is not None}


def _within(found: Sequence[Due], paces: Mapping[str, CuePace], *, now: datetime) -> Sequence[Due]:
    """As many of each cue as its rate lets start, the first ones."""
    left = {cue_id: pace_of(row).starting(now=now) for cue_id, row in paces.items()}
    ready = []
    for one in found:
        if one.cue_id in left:
            left[one.cue_id] -= 1
        if left.get(one.cue_id, 0) >= 0:
            ready.append(one)
    return ready


def pace_of(row: CuePace) -> Pace:
    return Pace.strict(row.rate_per_minute, row.next_at)


def spend(lane: Lane, sifted: Sifted, started: Sequence[Due], *, now: datetime) -> None:
    """These attempts start. Says when the lane is to be looked at again for those that wait. Call with all held."""
    attempts = Counter(one.cue_id for one in started)
    for cue_id, row in sifted.paces.items():
        row.next_at = pace_of(row).after(attempts[cue_id], now=now) if attempts[cue_id] else row.next_at
        row.save(update_fields=["next_at", "last_at", "rate_per_minute"])
        if row.next_at is not None and row.last_at is not None and row.last_at > now:
            lanes.nudge([lane], at=row.next_at, now=now)


# --- What waits -------------------------------------------------------------------------------------------------


def _put_off(lane: Lane, ready: Sequence[Due], paces: Mapping[str, CuePace], at_most: int, *, now: datetime) -> None:
    """Give what is due and over its cue's rate the times that the rate has for it."""
    kept = {one.pk for one in ready}
    over: dict[str, list[Waiting]] = defaultdict(list)
    for one in _scan(lane, at_most, now=now):
        if one.cue_id in paces and one.pk not in kept:
            over[one.cue_id].append(one)
    starting = Counter(one.cue_id for one in ready)
    times: dict[UUID, datetime] = {}
    for cue_id, waiting in over.items():
        times |= _times(paces[cue_id], starting[cue_id], waiting, now=now)
    lifecycle.put_off({pk: at + clock.SKEW for pk, at in times.items()}, now=now)  # is looked for so much early


def _times(row: CuePace, starting: int, waiting: Sequence[Waiting], *, now: datetime) -> dict[UUID, datetime]:
    """Those that had their turn come first, then those that wait already at their times, then these new ones."""
    pace = pace_of(row)
    first_at = pace.after(starting, now=now)
    again = [one.pk for one in waiting if one.had_its_turn]
    new = [one.pk for one in waiting if not one.had_its_turn]
    behind = max(first_at + len(again) * pace.every, row.last_at + pace.every if row.last_at else first_at)
    times = {pk: first_at + place * pace.every for place, pk in enumerate(again)}
    times |= {pk: behind + place * pace.every for place, pk in enumerate(new)}
    row.last_at = max([*times.values(), row.last_at or first_at])
    return times


def _scan(lane: Lane, at_most: int, *, now: datetime) -> Iterable[Waiting]:
    """The first that are due in the lane, locked."""
    latest = now + clock.SKEW
    for statuses in SCANNED:
        rows = due.first(statuses, at_most, SCANNED_COLUMNS).rows(
            account=lane.account_id, lane=lane.origin, latest=latest
        )
        yield from sorted((Waiting(*row) for row in rows), key=lambda one: one.due_at)


# --- When the rate changes --------------------------------------------------------------------------------------


def follow_cues() -> None:
    """Whenever a cue's rate changes, what waits for it is put to the new one."""

    def saved(instance: Cue, created: bool, update_fields: Collection[str] | None, **kwargs: Any) -> None:
        if not created and (update_fields is None or "rate_per_minute" in update_fields):
            transaction.on_commit(partial(_follow, instance.pk))

    post_save.connect(saved, sender=Cue, weak=False, dispatch_uid="executions.pacing.follow_cues")


def _follow(cue_id: str) -> None:
    """After the commit, since whoever starts attempts holds their destination first."""
    now = clock.now()
    changed = CuePace.objects.filter(pk=cue_id).exclude(rate_per_minute=F("cue__rate_per_minute"))
    for row in changed.select_related("cue").only("cue__account_id", "cue__lane"):
        lane = Lane(row.cue.account_id, row.cue.lane)
        with transaction.atomic():
            destinations.hold(lane)
            if not hold(lane, [cue_id], now=now):
                _release(lane, cue_id, now=now)
                CuePace.objects.filter(pk=cue_id).delete()


def _adopt(lane: Lane, row: CuePace, rate_per_minute: int, *, now: datetime) -> None:
    """A new rate counts from now on. Call with the row locked."""
    if row.rate_per_minute == rate_per_minute:
        return
    _release(lane, row.cue_id, now=now)
    row.rate_per_minute, row.next_at, row.last_at = rate_per_minute, None, None
    row.save()


def _release(lane: Lane, cue_id: str, *, now: datetime) -> None:
    """What was put off is due, in the order in which it came."""
    rows = Execution.objects.filter(cue=cue_id, closed_at=None, transport=Transport.WEBHOOK, status__in=WAITING)
    put_off = rows.filter(paced_at=F("due_at")).select_for_update(skip_locked=True)
    Execution.objects.filter(pk__in=put_off.values("pk")).update(due_at=F("scheduled_for"), paced_at=None)
    lanes.nudge([lane], now=now)
