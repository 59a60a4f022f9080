"""The one birth: however an execution comes about, it starts here.

Its row, its first step and the intent to dispatch it are one transaction: the caller's.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from cueapi import wakeups
from cues import history
from cues.models import Cue, Transport, Verdict
from executions import lanes, lifecycle
from executions.lanes import Lane
from executions.models import Execution
from executions.states import Trigger


def new(
    cue: Cue,
    scheduled_for: datetime,
    trigger: Trigger,
    payload: dict[str, Any],
    *,
    now: datetime,
    is_held: bool = False,
) -> Execution:
    """An execution of the cue as it would be stored. A held one waits until it is released."""
    return Execution(
        account_id=cue.account_id,
        cue=cue,
        transport=cue.transport,
        lane=cue.lane,
        triggered_by=trigger,
        scheduled_for=scheduled_for,
        payload=payload,
        due_at=None if is_held else scheduled_for,
        is_held=is_held,
        created_at=now,
        updated_at=now,
    )


def bear(executions: Sequence[Execution], *, reason: str, now: datetime) -> None:
    """Insert new executions and hand out those that are due; tell workers that wait. Call inside a transaction."""
    lifecycle.born(executions, reason=reason)
    pulled = (e for e in executions if e.transport == Transport.WORKER and not e.is_held)
    wakeups.announce({execution.account_id for execution in pulled})
    for execution in executions:
        if execution.transport == Transport.WEBHOOK and not execution.is_held:
            lanes.nudge([Lane.of(execution)], at=execution.due_at, now=now)


def bear_again(ids: Mapping[UUID, UUID], *, as_sent: bool, reason: str, now: datetime) -> None:
    """Replay originals, by their ids, under new ones, due now. Call with the cues and the originals locked."""
    template = Execution(triggered_by=Trigger.REPLAY, scheduled_for=now, due_at=now, created_at=now, updated_at=now)
    lifecycle.born_again(template, ids, as_sent=as_sent, reason=reason)
    made = Execution.objects.filter(pk__in=list(ids.values()))
    wakeups.announce(set(made.filter(transport=Transport.WORKER).values_list("account_id", flat=True)))
    pushed = made.filter(transport=Transport.WEBHOOK).values_list("account_id", "lane").distinct()
    lanes.nudge([Lane(*pair) for pair in pushed], now=now)


@dataclass(frozen=True, slots=True)
class Run:
    """A window of a cue that is to have an execution, and the execution's id to be."""

    cue: Cue
    slot: datetime
    verdict: Verdict
    is_held: bool
    pk: UUID = field(default_factory=uuid4)


def bear_runs(runs: Iterable[Run], *, reason: str, now: datetime) -> None:
    """The same for windows of locked cues: those that are alike together, each payload copied within the database."""
    alike: dict[tuple[Any, ...], list[Run]] = defaultdict(list)
    for run in runs:
        alike[run.slot, run.verdict, run.is_held, run.cue.transport].append(run)
    for group in alike.values():
        _bear_alike(group, reason=reason, now=max(now, group[0].slot))


def _bear_alike(runs: Sequence[Run], *, reason: str, now: datetime) -> None:
    one = runs[0]
    template = new(one.cue, one.slot, Trigger.SCHEDULED, {}, now=now, is_held=one.is_held)
    lifecycle.born_of_cues(template, {run.cue.pk: run.pk for run in runs}, reason=reason)
    history.write_runs(Execution.objects.filter(pk__in=[run.pk for run in runs]), one.verdict)
    if one.is_held:
        return
    if one.cue.transport == Transport.WORKER:
        wakeups.announce({run.cue.account_id for run in runs})
    else:
        lanes.nudge({Lane(run.cue.account_id, run.cue.lane) for run in runs}, now=now)
