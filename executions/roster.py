"""Cues in a line each: schedule in words, next due, what became of it last, failures in a row."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import OuterRef, QuerySet, Subquery

from cueapi.models import Account
from cues import foresight
from cues.models import RUNS, Cue, CueStatus, LedgerEntry, Verdict
from executions import streaks
from executions.streaks import Lately
from executions.strip import WORDS

SWITCHES = {CueStatus.ACTIVE.value: "pause", CueStatus.PAUSED.value: "resume"}


@dataclass(frozen=True)
class Line:
    """`last` is the status of its newest execution, or why a newer window made none; empty for neither."""

    id: str
    name: str
    status: str
    words: str
    next_run: datetime | None
    last: str
    last_at: datetime | None
    last_execution: UUID | None
    lately: Lately

    @property
    def switch(self) -> str:
        """The action that changes its status; empty for none."""
        return SWITCHES.get(self.status, "")


def rows(account: Account) -> QuerySet[Cue]:
    """The account's cues, with the newest window of each."""
    newest = LedgerEntry.objects.filter(cue=OuterRef("pk")).order_by("-first_at")
    own: QuerySet[Cue] = Cue.objects.of(account).defer("description", "callback_headers", "payload")
    return own.annotate(
        last_verdict=Subquery(newest.values("verdict")[:1]), last_window=Subquery(newest.values("first_at")[:1])
    )


def lines(cues: Sequence[Cue]) -> list[Line]:
    """Lines for these of `rows`, in their order: one query more, however many there are."""
    lately = streaks.lately([cue.pk for cue in cues])
    return [_line(cue, lately.get(cue.pk, Lately())) for cue in cues]


def _line(cue: Cue, its: Lately) -> Line:
    last, last_at, execution_id = _last(cue, its)
    return Line(
        cue.pk, cue.name, cue.status, foresight.in_words(cue), cue.next_run, last, last_at, execution_id, lately=its
    )


def _last(cue: Any, its: Lately) -> tuple[str, datetime | None, UUID | None]:
    """Its newest execution, or the newest window if that came later and made none."""
    newest = its.newest
    left = cue.last_verdict is not None and cue.last_verdict not in RUNS
    if left and (newest is None or cue.last_window > newest.scheduled_for):
        return WORDS[Verdict(cue.last_verdict)], cue.last_window, None
    return (newest.status, newest.scheduled_for, newest.pk) if newest else ("", None, None)
