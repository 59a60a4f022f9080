"""What becomes of the windows of cues that came due: which run, which wait, which are left, and why.

Decides and stores nothing: firing does, in one transaction with the rows locked.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from cueapi.conf import conf
from cueapi.errors import InvalidSchedule, InvalidTimezone
from cues import history, schedule
from cues.lifecycle import Move
from cues.models import Cue, LedgerEntry, Overlap, Verdict
from executions import overlap
from executions.birth import Run

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settled:
    """A cue's due windows: where the cue moves, those that run, and the verdict on those that do not."""

    move: Move
    runs: Sequence[Run]
    entries: Sequence[LedgerEntry]


def settle(due: Sequence[Cue], *, now: datetime) -> Iterator[Settled]:
    """Settle each of these locked cues; one that cannot be read is logged and left, and the others go on."""
    in_the_way = overlap.open_executions(due, now=now)
    for cue in due:
        try:
            yield _settle(cue, in_the_way.get(cue.pk, ()), now=now)
        except (InvalidSchedule, InvalidTimezone):
            log.exception("cue.unreadable", extra={"cue": cue.pk})


def _settle(cue: Cue, in_the_way: Sequence[UUID], *, now: datetime) -> Settled:
    assert cue.next_run is not None  # noqa: S101  `due` asks for it
    now = max(now, cue.next_run)
    plan = schedule.plan(cue.next_run, now, cue.catch_up, conf().missed_grace_seconds, cue.timetable)
    judge = _Judge(cue, list(in_the_way))
    if plan.missed:
        judge.entries.append(history.entry_of(cue, plan.missed, Verdict.MISSED))
    for slot in plan.caught_up:
        judge.run(slot, Verdict.CAUGHT_UP)
    for slot in plan.on_time:
        judge.run(slot, Verdict.RAN)
    next_run = plan.next_run if judge.runs_left != 0 else None
    last_slot = max(cue.next_run, plan.last_slot or cue.next_run)
    return Settled(Move(cue, last_slot, next_run, len(judge.runs)), judge.runs, judge.entries)


@dataclass
class _Judge:
    """Goes through a cue's windows that may run, oldest first."""

    cue: Cue
    in_the_way: list[UUID]  # executions that have not ended, oldest first
    runs: list[Run] = field(default_factory=list)
    entries: list[LedgerEntry] = field(default_factory=list)

    @property
    def runs_left(self) -> int | None:
        """None for no limit."""
        if self.cue.max_runs is None:
            return None
        return max(0, self.cue.max_runs - self.cue.fired_count - len(self.runs))

    def run(self, slot: datetime, verdict: Verdict) -> None:
        """Run the window, unless its cue's limit or an execution in the way speaks against it."""
        if self.runs_left == 0:
            self._leave(slot, Verdict.LIMIT)
        elif not self.in_the_way or self.cue.overlap == Overlap.ALLOW:
            self._bear(slot, verdict, is_held=False)
        elif self.cue.overlap == Overlap.QUEUE and len(self.in_the_way) <= overlap.HELD_MAX:
            self._bear(slot, Verdict.QUEUED, is_held=True)
        else:
            self._leave(slot, Verdict.OVERLAP, self.in_the_way[0])

    def _bear(self, slot: datetime, verdict: Verdict, *, is_held: bool) -> None:
        run = Run(self.cue, slot, verdict, is_held)
        self.runs.append(run)
        self.in_the_way.append(run.pk)

    def _leave(self, slot: datetime, verdict: Verdict, because_of: UUID | None = None) -> None:
        self.entries.append(LedgerEntry(cue=self.cue, first_at=slot, verdict=verdict, execution_id=because_of))
