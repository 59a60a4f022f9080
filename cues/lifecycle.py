"""The sole writer of a cue's status and `next_run` once it exists.

    active ── pause ──▶ paused ── resume ──▶ active
    active ── its one scheduled execution ends ──▶ completed | failed      (one-shots)
    active ── no window is left ──▶ completed                              (recurring ones)

Every change is a guarded UPDATE that names the status it may come from; the periodic task and the cue's history follow
in the same transaction. A late or duplicate actor changes nothing.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import CharField, DateTimeField, F, PositiveIntegerField, QuerySet
from django.db.models.functions import Coalesce, Greatest

from cueapi import clock
from cueapi.errors import InvalidSchedule
from cueapi.prepared import Select, Update, given
from cueapi.queue import enqueue
from cues import beat, changes, history, schedule
from cues.models import OPEN, SCHEDULE_COLUMNS, CatchUp, Cue, CueStatus, ScheduleType


def pause(cues: Iterable[Cue], *, now: datetime) -> int:
    """Pause the active ones among `cues`; executions already created go on. The number that changed."""
    with transaction.atomic():
        active = _locked([cue.pk for cue in cues], CueStatus.ACTIVE)
        Cue.objects.filter(pk__in=[cue.pk for cue in active]).update(
            status=CueStatus.PAUSED, next_run=None, success_expected_by=None, updated_at=now
        )
        for cue in active:
            next_run_was, cue.status, cue.next_run = cue.next_run, CueStatus.PAUSED, None
            history.turn(cue, next_run_was=next_run_was, now=now)
        beat.switch(active, on=False)
        changes.paused(active, now=now)
    return len(active)


def resume(cue: Cue, *, now: datetime) -> bool:
    """Make a paused cue active from now on; windows that passed meanwhile are not caught up.

    False when it was not paused. Raises InvalidSchedule for a one-shot whose time passed under `skip_missed`, and for a
    schedule that has no window left.
    """
    with transaction.atomic():
        for paused in _locked([cue.pk], CueStatus.PAUSED):
            before = changes.facts(paused)
            paused.next_run = next_run_from(paused, now=now)
            paused.at = paused.at if paused.is_recurring else paused.next_run or paused.at
            paused.status, paused.updated_at = CueStatus.ACTIVE, now
            watch_from(paused, now=now)
            paused.save(update_fields=["status", "next_run", "at", "success_expected_by", "updated_at"])
            history.turn(paused, next_run_was=None, now=now)
            beat.switch([paused], on=True)
            changes.updated(paused, before, now=now)
            announce_if_due(paused.pk, paused.next_run, now=now)
            return True
    return False


def _locked(cue_ids: Sequence[str], status: CueStatus) -> list[Cue]:
    """Those in this status, held until the transaction ends."""
    return list(
        Cue.objects.select_for_update(no_key=True, of=("self",)).filter(pk__in=cue_ids, status=status).order_by("pk")
    )


def next_run_from(cue: Cue, *, now: datetime) -> datetime | None:
    """When the cue fires next if it is active from `now` on; None for a one-shot that has fired already."""
    timetable = cue.timetable
    if timetable is not None:
        refuse_spent(cue)
        return schedule.first_due(timetable, max(now, cue.last_slot or now))
    if cue.has_fired or cue.at is None:
        return None
    if cue.at <= now and cue.catch_up == CatchUp.SKIP:
        raise InvalidSchedule(
            "The time of this one-shot has passed and catch_up is skip_missed. Send a new schedule.at."
        )
    return max(cue.at, now)


def refuse_spent(cue: Cue) -> None:
    """Raises InvalidSchedule for a cue that has run as often as its max_runs allows."""
    if cue.max_runs is not None and cue.fired_count >= cue.max_runs:
        raise InvalidSchedule(
            f"This cue has run {cue.fired_count} times, and schedule.max_runs is {cue.max_runs}. "
            "Send a larger max_runs, or null for no limit."
        )


@dataclass(frozen=True)
class Move:
    """A cue that is done with its windows up to `last_slot`; `fired` of them made an execution."""

    cue: Cue
    last_slot: datetime
    next_run: datetime | None
    fired: int

    @property
    def completes(self) -> bool:
        """A recurring cue for which no window is left."""
        return self.cue.is_recurring and self.next_run is None


def advance(moves: Iterable[Move], *, now: datetime) -> None:
    """Move locked cues past their windows: one UPDATE for those that move alike."""
    moves = list(moves)
    alike: dict[tuple[object, ...], list[Move]] = defaultdict(list)
    for move in moves:
        alike[move.cue.next_run, move.next_run, move.last_slot, move.fired, move.completes].append(move)
    for group in alike.values():
        _advance_alike(group, now=now)
    for move in moves:
        if move.completes:
            _complete(move, now=now)


def _advance_alike(group: Sequence[Move], *, now: datetime) -> None:
    one = group[0]
    Cue.objects.filter(
        pk__in=[move.cue.pk for move in group], status=CueStatus.ACTIVE, next_run=one.cue.next_run
    ).update(next_run=one.next_run, last_slot=one.last_slot, fired_count=F("fired_count") + one.fired, updated_at=now)


def _complete(move: Move, *, now: datetime) -> None:
    """No window is left: the bounds or max_runs of the schedule end it."""
    cue = move.cue
    next_run_was, cue.last_slot, cue.next_run, cue.status = cue.next_run, move.last_slot, None, CueStatus.COMPLETED
    Cue.objects.filter(pk=cue.pk, status=CueStatus.ACTIVE, next_run=None).update(
        status=CueStatus.COMPLETED, success_expected_by=None
    )
    history.turn(cue, next_run_was=None, now=next_run_was or now)
    beat.switch([cue], on=False)


def finish_one_shot(cue_id: str, *, slot: datetime, success: bool, now: datetime) -> bool:
    """Complete or fail a one-shot whose execution for `slot` ended, unless it was given a new time since."""
    waiting = Cue.objects.open().filter(
        pk=cue_id, schedule_type=ScheduleType.ONCE, at=slot, last_slot=slot, next_run=None
    )
    status = CueStatus.COMPLETED if success else CueStatus.FAILED
    return bool(waiting.update(status=status, updated_at=now))


def finish_one_shots(cues: QuerySet[Cue], *, success: bool, now: datetime) -> None:
    """The same for the one-shots among `cues`, which are all whose present time is that of an execution that ended."""
    waiting = cues.filter(
        status__in=OPEN, schedule_type=ScheduleType.ONCE, at__isnull=False, last_slot=F("at"), next_run=None
    )
    waiting.update(status=CueStatus.COMPLETED if success else CueStatus.FAILED, updated_at=now)


_these, _now = given("ids", CharField(), many=True), given("now", DateTimeField())
_hold_all = Select(
    lambda: Cue.objects.select_for_update(no_key=True).filter(pk__among=_these).order_by("pk").values_list("pk")
)
_count = Update(
    lambda: Cue.objects.filter(pk__among=_these), run_count=F("run_count") + given("count", PositiveIntegerField())
)
_end = Update(lambda: Cue.objects.filter(pk__among=_these), last_run=Greatest(Coalesce("last_run", _now), _now))


def count_runs(runs: Mapping[str, int]) -> None:
    """Add webhook attempts or worker outcomes to `run_count`, and hold these cues until the transaction ends.

    Always in one order, so that none waits in a circle.
    """
    with transaction.atomic(savepoint=False):
        if len(runs) > 1:
            _hold_all.rows(ids=runs)
        for count in set(runs.values()):
            _count.run(ids=[cue_id for cue_id, its in runs.items() if its == count], count=count)


def mark_ended(cue_ids: Collection[str], *, now: datetime) -> None:
    """`last_run` is the end of the latest execution that reached a final state; it never goes back."""
    _end.run(ids=cue_ids, now=now)


def success_expected_by(cue: Cue, *, now: datetime, since: datetime | None = None) -> datetime | None:
    """If the cue is active and nothing succeeds from `now` on: when that becomes alarming, at the earliest of

    - the end of its `missed_window_multiplier` intervals, which is the due time of the window after so many, since the
      last of them must have time to run;
    - `grace_seconds` after the first window past `since`, the window that succeeded last (`now` when there is none).

    None for a cue without `alerts`, for a one-shot, and where the schedule never gets that far.
    """
    timetable = cue.timetable
    if timetable is None:
        return None
    by = []
    if cue.alert_missed_window_multiplier:
        by.append(timetable.nth(now, cue.alert_missed_window_multiplier + 1))
    if cue.alert_grace_s is not None:
        window = timetable.next(since or now)
        by.append(window and window + timedelta(seconds=cue.alert_grace_s))
    return min((instant for instant in by if instant is not None), default=None)


def watched(cue: Cue) -> tuple[object, ...]:
    """The facts that `success_expected_by` hangs on: while they stay the same, so does the time."""
    return cue.facts, cue.alert_missed_window_multiplier, cue.alert_grace_s


def watch_from(cue: Cue, *, now: datetime) -> None:
    """Set, without saving, by when the cue must succeed from now on; nothing is expected of one that is not active."""
    active = cue.status == CueStatus.ACTIVE
    cue.success_expected_by = success_expected_by(cue, now=now) if active else None


def expect_next_success(cue: Cue, *, now: datetime, since: datetime | None = None) -> bool:
    """The cue succeeded, or an alert said that it did not: look again later. A late actor never moves the time back."""
    if cue.success_expected_by is None:
        return False
    expected_by = success_expected_by(cue, now=now, since=since)
    same = Cue.objects.filter(
        pk=cue.pk,
        status=CueStatus.ACTIVE,
        alert_missed_window_multiplier=cue.alert_missed_window_multiplier,
        alert_grace_s=cue.alert_grace_s,
        **{name: getattr(cue, name) for name in SCHEDULE_COLUMNS if name != "status"},
    )
    if expected_by is None:
        return bool(same.update(success_expected_by=None))
    return bool(same.filter(success_expected_by__lt=expected_by).update(success_expected_by=expected_by))


def announce_if_due(cue_id: str, next_run: datetime | None, *, now: datetime) -> None:
    """Do not wait for beat when the cue is due at once."""
    if next_run is not None and next_run <= now:
        enqueue(beat.FIRE_TASK, queue=beat.FIRE_QUEUE, cue_ids=[cue_id])


def follow_switch(periodic_task_id: int, enabled: bool) -> None:
    """An operator switched a cue's periodic task: the cue follows."""
    now = clock.now()
    for cue in Cue.objects.filter(periodic_task_id=periodic_task_id):
        if enabled:
            resume(cue, now=now)
        else:
            pause([cue], now=now)
