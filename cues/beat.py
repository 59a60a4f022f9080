"""The bridge to django-celery-beat, and the scheduler that `celery beat` runs by default.

A recurring cue owns one PeriodicTask, so that operators see and steer it in the admin; the cue's `next_run` is what
decides. The scheduler reads only what is due soon, and one message names up to CUES_PER_MESSAGE cues. It holds nothing
that matters: a second beat, or none for an hour, changes when a cue fires but never whether (see executions.firing).
"""

import heapq
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import DatabaseError
from django.db.models import F
from django.db.models.signals import post_delete, post_save
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler

from cueapi import clock, liveness
from cueapi.queue import CONFIRMED_WITHIN_S, publish
from cues import schedule
from cues.models import Cue

log = logging.getLogger(__name__)

FIRE_TASK = "executions.fire_due"
FIRE_QUEUE = "fire"

ORDINARY = (
    f"task <> '{FIRE_TASK}'"  # spelled as the partial index has it (migration 0003), which a parameter would hide
)

READ_EVERY = timedelta(seconds=0.5)
HORIZON = timedelta(seconds=2)  # how far ahead one read looks
READ_MAX = 20_000
CUES_PER_MESSAGE = 500  # measured: a message costs its worker some 20 ms beside its cues
ANNOUNCE_AGAIN = timedelta(seconds=30)  # a cue still due this long after its message gets another; the first expires


_PERIODS = (
    (IntervalSchedule.DAYS, 86_400),
    (IntervalSchedule.HOURS, 3600),
    (IntervalSchedule.MINUTES, 60),
    (IntervalSchedule.SECONDS, 1),
)


# --- A cue's periodic task --------------------------------------------------------------------------------------


def sync(cue: Cue) -> None:
    """Make the cue's PeriodicTask say what the cue says. Call before saving the cue, in the same transaction.

    Written without the change signal: the scheduler watches cues, so it need not re-read its table for one.
    """
    if not cue.is_recurring:
        _forget(cue)
        return
    facts = _facts(cue)
    if cue.periodic_task_id is None:
        (task,) = PeriodicTask.objects.bulk_create([PeriodicTask(name=cue.id, **facts)])
        cue.periodic_task_id = task.pk
    else:
        PeriodicTask.objects.filter(pk=cue.periodic_task_id).update(**facts)


def switch(cues: Iterable[Cue], *, on: bool) -> None:
    """Enable or disable the periodic tasks of many cues at once."""
    tasks = [cue.periodic_task_id for cue in cues if cue.periodic_task_id]
    PeriodicTask.objects.filter(pk__in=tasks).update(enabled=on)


def mark_fired(cues: Iterable[Cue], *, now: datetime) -> None:
    """Keep `last_run_at` and `total_run_count` true."""
    tasks = [cue.periodic_task_id for cue in cues if cue.periodic_task_id]
    PeriodicTask.objects.filter(pk__in=tasks).update(last_run_at=now, total_run_count=F("total_run_count") + 1)


def on_switched(follow: Callable[[int, bool], None]) -> None:
    """Call `follow(periodic task id, enabled)` whenever somebody saves a cue's periodic task, say in the admin."""

    def saved(sender: Any, instance: PeriodicTask, **kwargs: Any) -> None:
        if instance.task == FIRE_TASK:
            follow(instance.pk, instance.enabled)

    post_save.connect(saved, sender=PeriodicTask, weak=False, dispatch_uid="cues.beat.on_switched")


def discard_with_cue() -> None:
    """Delete a cue's periodic task with the cue, however the cue is deleted."""

    def deleted(sender: Any, instance: Cue, **kwargs: Any) -> None:
        _discard(instance.periodic_task_id)

    post_delete.connect(deleted, sender=Cue, weak=False, dispatch_uid="cues.beat.discard_with_cue")


def _forget(cue: Cue) -> None:
    """A cue that no longer recurs lets go of its periodic task; the row must let go first."""
    task_id, cue.periodic_task_id = cue.periodic_task_id, None
    if task_id is not None:
        Cue.objects.filter(pk=cue.pk).update(periodic_task=None)
        _discard(task_id)


def _discard(task_id: int | None) -> None:
    for task in PeriodicTask.objects.filter(pk=task_id):
        task.no_changes = True  # keeps the stock change signal quiet
        task.delete()


def _facts(cue: Cue) -> dict[str, Any]:
    return {
        "task": FIRE_TASK,
        "kwargs": f'{{"cue_ids": ["{cue.id}"]}}',
        "crontab": _crontab(cue) if cue.every_s is None else None,
        "interval": _interval(cue.every_s) if cue.every_s is not None else None,
        "enabled": cue.status == "active",
        "description": f"Cue “{cue.name}”. Switch it here, or change it through the cue.",
    }


def _interval(every_s: int) -> IntervalSchedule:
    """For the stock scheduler and the admin: when exactly, the cue's own anchor says."""
    period, size_s = next((name, size) for name, size in _PERIODS if every_s % size == 0)
    spec = {"every": every_s // size_s, "period": period}
    found: IntervalSchedule | None = IntervalSchedule.objects.filter(**spec).first()
    return found or IntervalSchedule.objects.bulk_create([IntervalSchedule(**spec)])[0]


def _crontab(cue: Cue) -> CrontabSchedule:
    minute, hour, day_of_month, month_of_year, day_of_week = schedule.to_numeric_fields(schedule.parse_cron(cue.cron))
    spec = {
        "minute": minute,
        "hour": hour,
        "day_of_month": day_of_month,
        "month_of_year": month_of_year,
        "day_of_week": day_of_week,
        "timezone": cue.timezone,
    }
    found: CrontabSchedule | None = CrontabSchedule.objects.filter(**spec).order_by("pk").first()
    return found or CrontabSchedule.objects.bulk_create([CrontabSchedule(**spec)])[0]


# --- The scheduler ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, order=True)
class DueCue:
    """A cue that comes due at `at`. `queue` and `priority` are its periodic task's, where an operator set them."""

    at: datetime
    cue_id: str
    queue: str | None = field(compare=False, default=None)
    priority: int | None = field(compare=False, default=None)

    @property
    def slot(self) -> tuple[str, datetime]:
        return self.cue_id, self.at


@dataclass
class Watch:
    """What comes due soon, and what was announced already. Losing it costs a second message, never a run."""

    heap: list[DueCue] = field(default_factory=list)
    announced: dict[tuple[str, datetime], datetime] = field(default_factory=dict)
    read_at: datetime | None = None
    beat: str = field(default_factory=liveness.name_of_this_process)

    def tick(self, now: datetime) -> float:
        """Announce what is due, and say how many seconds until the next look."""
        if self.read_at is None or now >= self.read_at + READ_EVERY:
            self._read(now)
        self._announce(self._pop_due(now), now)
        wake_at = (self.read_at or now) + READ_EVERY
        if self.heap:
            wake_at = min(wake_at, self.heap[0].at)
        return max(0.0, (wake_at - now).total_seconds())

    def _read(self, now: datetime) -> None:
        """One indexed read of what comes due within the horizon and was not announced lately."""
        started = time.monotonic()
        self.announced = {slot: at for slot, at in self.announced.items() if now - at < ANNOUNCE_AGAIN}
        rows = (
            Cue.objects.due(now + HORIZON)
            .order_by("next_run")
            .values_list("next_run", "id", "periodic_task__queue", "periodic_task__priority")[:READ_MAX]
        )
        soon = [DueCue(at, *rest) for at, *rest in rows if at is not None]  # type: ignore[arg-type]
        self.heap = sorted(cue for cue in soon if cue.slot not in self.announced)
        self.read_at = now
        duration_ms = round((time.monotonic() - started) * 1000)
        liveness.beat_lives(self.beat, liveness.BeatCycle(now.timestamp(), len(self.heap), duration_ms))

    def _pop_due(self, now: datetime) -> list[DueCue]:
        due = []
        while self.heap and self.heap[0].at <= now:
            due.append(heapq.heappop(self.heap))
        return due

    def _announce(self, due: list[DueCue], now: datetime) -> None:
        groups: dict[tuple[str, int | None], list[DueCue]] = defaultdict(list)
        for cue in due:
            groups[cue.queue or FIRE_QUEUE, cue.priority].append(cue)
        for (queue, priority), cues in groups.items():
            for start in range(0, len(cues), CUES_PER_MESSAGE):
                self._send(cues[start : start + CUES_PER_MESSAGE], queue, priority, now)

    def _send(self, cues: list[DueCue], queue: str, priority: int | None, now: datetime) -> None:
        sent = publish(
            FIRE_TASK,
            queue=queue,
            priority=priority,
            kwargs={"cue_ids": [cue.cue_id for cue in cues]},
            expires_s=ANNOUNCE_AGAIN.total_seconds(),
        )
        if sent:
            self.announced.update((cue.slot, now) for cue in cues)


class CueScheduler(DatabaseScheduler):
    """Ordinary periodic tasks go the stock way; cues come from `Watch`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.watch = Watch()
        super().__init__(*args, **kwargs)

    def close(self) -> None:
        """A beat that stops says so; one that is killed or hangs falls silent instead."""
        super().close()
        liveness.beat_ends(self.watch.beat)

    def enabled_models_qs(self) -> Any:
        """The stock reads, without the cues' rows and without the filter over all crontabs that never ends."""
        return self.Model.objects.enabled().extra(where=[ORDINARY])  # noqa: S610  a constant

    def apply_async(self, entry: Any, *args: Any, **kwargs: Any) -> Any:
        """Beat must not wait for ever for a RabbitMQ that has no room."""
        entry.options["confirm_timeout"] = CONFIRMED_WITHIN_S
        return super().apply_async(entry, *args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        ordinary: float = super().tick(*args, **kwargs)
        try:
            cues = self.watch.tick(clock.now())
        except DatabaseError as error:
            log.warning("beat.read_failed", extra={"error": str(error)})
            cues = 1.0
        return min(ordinary, cues)
