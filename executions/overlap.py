"""One run of a cue at a time, for cues that want it so (`overlap`): what is in the way, and whose turn is next.

Firing looks with the cue's row locked, and whoever ends an execution writes to that row before it looks: one of two
at once waits for the other, so none is held for something that has ended.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from cueapi import wakeups
from cues.models import Cue, Overlap, Transport
from executions import lanes, lifecycle
from executions.lanes import Lane
from executions.models import Execution

HELD_MAX = 100  # held executions of one cue; further windows are skipped


def open_executions(cues: Iterable[Cue], *, now: datetime) -> Mapping[str, Sequence[UUID]]:
    """By cue, its executions that are due and have not ended, oldest first; only of cues that mind."""
    minding = [cue.pk for cue in cues if cue.overlap != Overlap.ALLOW]
    found: dict[str, list[UUID]] = defaultdict(list)
    if minding:
        rows = _unended(now).filter(cue__in=minding).order_by("scheduled_for", "created_at")
        for cue_id, pk in rows.values_list("cue_id", "pk"):
            found[cue_id].append(pk)
    return found


def after_end(execution: Execution, *, now: datetime) -> None:
    """An execution ended: the cue's next one that was held runs. Call with the cue's row written to."""
    if execution.cue.overlap == Overlap.QUEUE:
        release_next(execution.cue_id, now=now)


def release_next(cue_id: str, *, now: datetime) -> bool:
    """Let the cue's oldest held execution run, if no other is in the way."""
    if _unended(now).filter(cue=cue_id, is_held=False).exists():
        return False
    held = lifecycle.lock_first(_held().filter(cue=cue_id).order_by("scheduled_for"))
    if held is None or not lifecycle.release(held, now=now):
        return False
    if held.transport == Transport.WORKER:
        wakeups.announce({held.account_id})
    else:
        lanes.nudge([Lane.of(held)], now=now)
    return True


def release_forgotten(*, now: datetime, at_most: int) -> int:
    """Held executions with nothing in the way, as after a change of `overlap`; how many were let go."""
    in_the_way = _unended(now).filter(cue=OuterRef("cue"), is_held=False)
    waiting = list(_held().filter(~Exists(in_the_way)).values_list("cue_id", flat=True).distinct()[:at_most])
    return sum(_release_locked(cue_id, now=now) for cue_id in waiting)


def _release_locked(cue_id: str, *, now: datetime) -> bool:
    with transaction.atomic():
        cue = Cue.objects.select_for_update(skip_locked=True, no_key=True).filter(pk=cue_id).first()
        return cue is not None and release_next(cue_id, now=now)


def _unended(now: datetime) -> QuerySet[Execution]:
    rows: QuerySet[Execution] = Execution.objects.filter(closed_at=None, scheduled_for__lte=now)
    return rows


def _held() -> QuerySet[Execution]:
    rows: QuerySet[Execution] = Execution.objects.filter(is_held=True)
    return rows
