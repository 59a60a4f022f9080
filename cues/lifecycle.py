"""The sole writer of a cue's status and `next_run` once it exists.

    active ── pause ──▶ paused ── resume ──▶ active
    active ── its one scheduled execution ends ──▶ completed | failed      (one-shots only)

Every change is a guarded UPDATE that names the status it may come from; the periodic task follows in the same
transaction. A late or duplicate actor changes nothing.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from django.db import transaction
from django.db.models import F, Value
from django.db.models.functions import Coalesce, Greatest

from cueapi import clock
from cueapi.errors import InvalidSchedule
from cueapi.queue import enqueue
from cues import beat, schedule
from cues.models import CatchUp, Cue, CueStatus, ScheduleType


def pause(cues: Iterable[Cue], *, now: datetime) -> int:
    """Pause the active ones among `cues`; executions already created go on. The number that changed."""
    cues = list(cues)
    with transaction.atomic():
        changed = Cue.objects.filter(pk__in=[cue.pk for cue in cues], status=CueStatus.ACTIVE).update(
            status=CueStatus.PAUSED, next_run=None, success_expected_by=None, updated_at=now
        )
        beat.switch(cues, on=False)
    return int(changed)


def resume(cue: Cue, *, now: datetime) -> bool:
    """Make a paused cue active from now on; windows that passed meanwhile are not caught up.

    False when it was not paused. Raises InvalidSchedule for a one-shot whose time passed under `skip_missed`.
    """
    next_run = next_run_from(cue, now=now)
    at = cue.at if cue.is_recurring else next_run or cue.at
    expected_by = success_expected_by(cue, now=now)
    with transaction.atomic():
        changed = Cue.objects.filter(pk=cue.pk, status=CueStatus.PAUSED).update(
            status=CueStatus.ACTIVE, next_run=next_run, at=at, success_expected_by=expected_by, updated_at=now
        )
        if changed:
            beat.switch([cue], on=True)
            announce_if_due(cue.pk, next_run, now=now)
    return bool(changed)


def next_run_from(cue: Cue, *, now: datetime) -> datetime | None:
    """When the cue fires next if it is active from `now` on; None for a one-shot that has fired already."""
    if cue.is_recurring:
        return schedule.first_due(cue.cron, cue.timezone, now)
    if cue.has_fired or cue.at is None:
        return None
    if cue.at <= now and cue.catch_up == CatchUp.SKIP:
        raise InvalidSchedule(
            "The time of this one-shot has passed and catch_up is skip_missed. Send a new schedule.at."
        )
    return max(cue.at, now)


def advance(cue: Cue, *, next_run: datetime | None, last_slot: datetime, fired: int, now: datetime) -> bool:
    """Move the cue past the slots up to `last_slot`. False when somebody else already did."""
    changed = Cue.objects.filter(pk=cue.pk, status=CueStatus.ACTIVE, next_run=cue.next_run).update(
        next_run=next_run, last_slot=last_slot, fired_count=F("fired_count") + fired, updated_at=now
    )
    return bool(changed)


def finish_one_shot(cue_id: str, *, slot: datetime, success: bool, now: datetime) -> bool:
    """Complete or fail a one-shot whose execution for `slot` ended, unless it was given a new time since."""
    waiting = Cue.objects.open().filter(
        pk=cue_id, schedule_type=ScheduleType.ONCE, at=slot, last_slot=slot, next_run=None
    )
    status = CueStatus.COMPLETED if success else CueStatus.FAILED
    return bool(waiting.update(status=status, updated_at=now))


def count_runs(runs: Mapping[str, int]) -> None:
    """Add webhook attempts or worker outcomes to `run_count`, always in one order, so that none waits in a circle."""
    for cue_id in sorted(runs):
        Cue.objects.filter(pk=cue_id).update(run_count=F("run_count") + runs[cue_id])


def mark_ended(cue_id: str, *, now: datetime) -> None:
    """`last_run` is the end of the latest execution that reached a final state; it never goes back."""
    Cue.objects.filter(pk=cue_id).update(last_run=Greatest(Coalesce("last_run", Value(now)), Value(now)))


def success_expected_by(cue: Cue, *, now: datetime) -> datetime | None:
    """If the cue is active and nothing succeeds from `now` on: the end of its `missed_window_multiplier` intervals.

    That is the due time of the window after so many, since the last of them must have time to run. None for a cue
    without `alerts`, for a one-shot, and where the schedule never gets that far.
    """
    windows = cue.alert_missed_window_multiplier
    if not windows or not cue.is_recurring:
        return None
    return schedule.due_after(schedule.parse_cron(cue.cron), schedule.zone(cue.timezone), now, windows + 1)


def watched(cue: Cue) -> tuple[object, ...]:
    """The facts that `success_expected_by` hangs on: while they stay the same, so does the time."""
    return cue.status, cue.schedule_type, cue.cron, cue.timezone, cue.alert_missed_window_multiplier


def watch_from(cue: Cue, *, now: datetime) -> None:
    """Set, without saving, by when the cue must succeed from now on; nothing is expected of one that is not active."""
    active = cue.status == CueStatus.ACTIVE
    cue.success_expected_by = success_expected_by(cue, now=now) if active else None


def expect_next_success(cue: Cue, *, now: datetime) -> bool:
    """The cue succeeded, or an alert said that it did not: look again later. A late actor never moves the time back."""
    if cue.success_expected_by is None:
        return False
    expected_by = success_expected_by(cue, now=now)
    same = Cue.objects.filter(
        pk=cue.pk,
        status=CueStatus.ACTIVE,
        cron=cue.cron,
        timezone=cue.timezone,
        alert_missed_window_multiplier=cue.alert_missed_window_multiplier,
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
