"""A cue's past: what its schedule was when, and what became of each of its windows.

Whoever changes a schedule or a status calls this in the same transaction, with the cue's row locked. The windows that
the old definition leaves behind get their verdict, so that none is without one.
"""

import logging
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db.models import QuerySet, Value

from cueapi import bulk
from cueapi.errors import InvalidSchedule, InvalidTimezone
from cues.models import Cue, CueStatus, Definition, LedgerEntry, Verdict
from cues.schedule import TICK, Span

log = logging.getLogger(__name__)


def begin(cue: Cue, *, now: datetime) -> None:
    """Note the first definition of a new cue."""
    Definition.objects.create(cue=cue, since=now, **cue.facts)


def turn(cue: Cue, *, next_run_was: datetime | None, now: datetime) -> None:
    """Note that the cue's schedule or status is another one from now on.

    `next_run_was` is the window that it would have run next. Windows that the old definition still owed are left, for
    they can no longer run: their time is over, or the new definition has none then.
    """
    was = _latest(cue)
    since = max(now, cue.last_slot or now, was.since + TICK if was else now)
    still_owed = next_run_was is not None and next_run_was == cue.next_run
    if was is not None and not still_owed:
        _leave(cue, was, next_run_was, until=since)
    Definition.objects.create(cue=cue, since=since, **cue.facts)


def _leave(cue: Cue, was: Definition, next_run_was: datetime | None, *, until: datetime) -> None:
    """Give the windows that the old definition still owed their verdict."""
    left = _left_behind(was, next_run_was, until=until)
    if left is not None:
        paused = CueStatus.PAUSED in (was.status, cue.status)
        write([entry_of(cue, left, Verdict.PAUSED if paused else Verdict.CHANGED)])


def unsettled(cue: Cue, *, now: datetime) -> Span | None:
    """The windows up to now that have no verdict: those that a pause lets pass, and those that are just due."""
    latest = _latest(cue)
    return _left_behind(latest, cue.next_run, until=now) if latest is not None else None


def _latest(cue: Cue) -> Definition | None:
    """None for a cue that an earlier release made after the history was begun."""
    found: Definition | None = Definition.objects.filter(cue=cue).order_by("-since").first()
    return found


def write(entries: Iterable[LedgerEntry]) -> None:
    """Store verdicts; a window that has one keeps it."""
    bulk.insert(list(entries))


def write_runs(executions: QuerySet[Any], verdict: Verdict) -> None:
    """Store this verdict on the window of each of these new executions."""
    rows = executions.values_list("cue_id", "scheduled_for", Value(1), Value(verdict), "pk")
    bulk.insert_from(LedgerEntry, ["cue_id", "first_at", "windows", "verdict", "execution_id"], rows)


def entry_of(cue: Cue, span: Span, verdict: Verdict) -> LedgerEntry:
    """The verdict on consecutive windows that made no execution."""
    last_at = span.last if span.count > 1 else None
    return LedgerEntry(cue=cue, first_at=span.first, last_at=last_at, windows=span.count, verdict=verdict)


def _left_behind(was: Definition, next_run: datetime | None, *, until: datetime) -> Span | None:
    """The windows up to `until` that came due under the old definition and have no verdict.

    None, too, where the old definition can no longer be read, so that it can be replaced.
    """
    try:
        if was.status == CueStatus.ACTIVE:
            return _from(was, next_run, until)
        if was.status == CueStatus.PAUSED:
            return _from(was, _first_while_paused(was), until)
    except (InvalidSchedule, InvalidTimezone):
        log.exception("cue.unreadable", extra={"cue": was.cue_id})
    return None


def _first_while_paused(was: Definition) -> datetime | None:
    timetable = was.timetable
    if timetable is not None:
        return timetable.next(was.since)
    return was.at if was.at and was.at > was.since else None


def _from(was: Definition, first: datetime | None, until: datetime) -> Span | None:
    if first is None or first > until:
        return None
    timetable = was.timetable
    if timetable is None:
        return Span(first, first, 1)
    return Span(first, max(first, timetable.previous(until) or first), 1 + timetable.count(first, until))
