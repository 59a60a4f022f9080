"""Why a cue did, or did not, run at a time: one sentence, and the facts behind it.

Asked of an instant, it answers for the window due in that minute; where there is none, for why there is none.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cueapi.clock import rfc3339
from cueapi.errors import InvalidSchedule, InvalidTimezone
from cues import preview, words
from cues.models import RUNS, Cue, CueStatus, Definition, LedgerEntry, Verdict
from cues.rhythm import TICK
from cues.timetable import Timetable
from cues.zones import zone
from executions import retention
from executions.models import Execution, Kept
from executions.states import FINAL

MINUTE = timedelta(minutes=1)
LATE_AFTER = timedelta(seconds=10)  # a window that has waited longer has met a scheduler that is down


@dataclass(frozen=True)
class Explanation:
    """`verdict` is one of the ledger's, or due, waiting, not_due, out_of_bounds, not_active, unknown."""

    at: datetime
    verdict: str
    sentence: str
    window: datetime | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def explain(cue: Cue, at: datetime, *, now: datetime) -> Explanation:
    """What became, or will become, of the cue's window in the minute of `at`."""
    definition = _in_force(cue, at)
    if definition is None:
        return (_forgotten(at) if at >= cue.created_at else None) or _before_its_time(cue, at)
    try:
        return _explain(cue, definition, at, now=now)
    except (InvalidSchedule, InvalidTimezone) as error:
        return Explanation(at, "unknown", f"The cue's schedule cannot be read: {error.message}")


def _explain(cue: Cue, definition: Definition, at: datetime, *, now: datetime) -> Explanation:
    window = _window_in_minute(definition, at)
    entry = _entry_at(cue, window or at)
    if entry is not None:
        return _told(cue, entry, window or at, at)
    if (gone := _forgotten(at)) is not None:
        return gone
    if definition.status != CueStatus.ACTIVE:
        return _inactive(cue, definition, window, at)
    if window is None:
        return _not_due(definition, at)
    return _undecided(cue, window, at, now=now)


def _in_force(cue: Cue, at: datetime) -> Definition | None:
    """The cue's definition at that time. A one-shot made to run at once is due as it is created."""
    past = Definition.objects.filter(cue=cue, since__lt=_minute(at) + MINUTE)
    found: Definition | None = past.filter(since__lt=at).order_by("-since").first() or past.order_by("since").first()
    return found


def _minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)


def _window_in_minute(definition: Definition, at: datetime) -> datetime | None:
    """The window due at `at`, else one of its minute, by the time that it is due or that it has before its jitter."""
    timetable = definition.timetable
    if timetable is None:
        return definition.at if definition.at and _minute(definition.at) == _minute(at) else None
    if timetable.previous(at) == at:
        return at
    start, end = _minute(at), _minute(at) + MINUTE
    due_at = timetable.next(start - TICK)
    if due_at is None:
        return None
    return due_at if any(start <= moment < end for moment in (due_at, timetable.slot_of(due_at))) else None


def _entry_at(cue: Cue, window: datetime) -> LedgerEntry | None:
    entry: LedgerEntry | None = LedgerEntry.objects.filter(cue=cue, first_at__lte=window).order_by("-first_at").first()
    return entry if entry is not None and window <= entry.until else None


# --- What the ledger tells --------------------------------------------------------------------------------------


def _told(cue: Cue, entry: LedgerEntry, window: datetime, at: datetime) -> Explanation:
    execution = Execution.objects.filter(pk=entry.execution_id).first() if entry.execution_id else None
    facts = {"windows": entry.windows, "from": rfc3339(entry.first_at), "until": rfc3339(entry.until)}
    facts |= {"execution_id": str(entry.execution_id) if entry.execution_id else None}
    if execution is not None:
        facts |= _facts_of(execution)
    sentence = _ran(entry, execution) if entry.verdict in RUNS else LEFT[Verdict(entry.verdict)](cue, entry)
    return Explanation(at, entry.verdict, sentence, window, facts)


def _facts_of(execution: Execution) -> dict[str, Any]:
    return {
        "status": execution.status,
        "created_at": rfc3339(execution.created_at),
        "late_by_seconds": round((execution.created_at - execution.scheduled_for).total_seconds(), 3),
        "attempts": execution.attempts,
        "http_status": execution.http_status,
        "outcome_state": execution.outcome_state,
        "error_message": execution.error_message,
        "held": execution.is_held,
    }


def _ran(entry: LedgerEntry, execution: Execution | None) -> str:
    if execution is None:
        return f"It ran as execution {entry.execution_id}, which is no longer stored."
    how = {
        Verdict.RAN: "It was due and ran",
        Verdict.QUEUED: "It was due, waited for the executions before it, and ran",
        Verdict.CAUGHT_UP: f"It was seen {_late(execution)} late and caught up",
    }[Verdict(entry.verdict)]
    if execution.is_held:
        how = "It was due and waits for the executions before it"
    return f"{how} as execution {execution.pk}, which {_state(execution)}."


def _late(execution: Execution) -> str:
    return _duration(execution.created_at - execution.scheduled_for)


def _state(execution: Execution) -> str:
    attempts = f"after {execution.attempts} attempt{'' if execution.attempts == 1 else 's'}"
    if execution.status not in FINAL:
        return f"is {execution.status} {attempts}"
    why = f": {execution.error_message}".rstrip(".") if execution.error_message else ""
    return f"ended in {execution.status} {attempts}{why}"


def _missed(cue: Cue, entry: LedgerEntry) -> str:
    return (
        "Nothing looked at it in time, because no scheduler or no worker was running, and by catch_up "
        f"“{cue.catch_up}” it was not made up for."
    )


def _paused(cue: Cue, entry: LedgerEntry) -> str:
    """A window that was due before the pause is left to it, too; then the pause began later."""
    definition = _in_force(cue, entry.first_at)
    if definition is None or definition.status != CueStatus.PAUSED:
        return "It was skipped, because the cue was paused."
    return f"It was skipped, because the cue was paused, from {rfc3339(definition.since)} on."


LEFT: dict[Verdict, Callable[[Cue, LedgerEntry], str]] = {
    Verdict.MISSED: _missed,
    Verdict.OVERLAP: lambda cue, entry: (
        f"It was skipped, because execution {entry.execution_id} had not ended and schedule.overlap asks for that."
    ),
    Verdict.PAUSED: _paused,
    Verdict.LIMIT: lambda cue, entry: "It was skipped, because the cue had run as often as schedule.max_runs allows.",
    Verdict.CHANGED: lambda cue, entry: "It was skipped, because the schedule was changed before it could run.",
}


# --- What the ledger does not tell ------------------------------------------------------------------------------


def _before_its_time(cue: Cue, at: datetime) -> Explanation:
    first = Definition.objects.filter(cue=cue).order_by("since").first()
    known_from = rfc3339(first.since if first else cue.created_at)
    sentence = f"The cue's history starts at {known_from}; nothing is known of it before that."
    return Explanation(at, "unknown", sentence, facts={"known_from": known_from})


def _forgotten(at: datetime) -> Explanation | None:
    """Where the ledger may have been removed, nothing follows from its silence, nor from a definition's."""
    known_from = retention.horizons().get(Kept.LEDGER)
    if known_from is None or at >= known_from:
        return None
    since = rfc3339(known_from)
    sentence = f"It is too long ago: verdicts and past definitions are kept from {since} on (RETENTION_LEDGER_DAYS)."
    return Explanation(at, "unknown", sentence, facts={"known_from": since})


def _inactive(cue: Cue, definition: Definition, window: datetime | None, at: datetime) -> Explanation:
    facts = {"status": definition.status, "since": rfc3339(definition.since)}
    since = f"the cue is {definition.status} since {rfc3339(definition.since)}"
    if definition.status == CueStatus.PAUSED and window is not None:
        return Explanation(at, Verdict.PAUSED, f"It does not run, because {since}.", window, facts)
    return Explanation(at, "not_active", f"Nothing is due then, because {since}.", facts=facts)


def _not_due(definition: Definition, at: datetime) -> Explanation:
    timetable = definition.timetable
    if timetable is None:
        due_at = rfc3339(definition.at)
        return Explanation(at, "not_due", f"This one-shot is due at {due_at}, not then.", facts={"at": due_at})
    facts = {
        "schedule": _rhythm_of(definition),
        "previous": rfc3339(timetable.previous(at)),
        "next": rfc3339(timetable.next(at)),
    }
    outside = _outside(timetable, at)
    if outside:
        return Explanation(at, "out_of_bounds", f"Nothing is due then, because {outside}.", facts=facts)
    local = at.astimezone(zone(definition.timezone)).strftime("%Y-%m-%d %H:%M")
    sentence = f"{_rhythm_of(definition)} is not due at {local} in {definition.timezone}"
    around = [
        f"{name} due time is {facts[key]}" for name, key in (("the one before", "previous"), ("the next", "next"))
    ]
    note = preview.note_of(timetable, zone(definition.timezone), at)
    why = f"{sentence}: {', '.join(around)}.{f' {note}' if note else ''}"
    return Explanation(at, "not_due", why, facts=facts)


def _outside(timetable: Timetable, at: datetime) -> str | None:
    if timetable.starts_at and at < timetable.starts_at:
        return f"schedule.starts_at is {rfc3339(timetable.starts_at)}"
    if timetable.ends_at and at > timetable.ends_at:
        return f"schedule.ends_at is {rfc3339(timetable.ends_at)}"
    return None


def _rhythm_of(definition: Definition) -> str:
    if definition.every_s is not None:
        return f"Every {words.duration(timedelta(seconds=definition.every_s))}"
    return f"“{definition.cron}”"


def _undecided(cue: Cue, window: datetime, at: datetime, *, now: datetime) -> Explanation:
    facts = {"next_run": rfc3339(cue.next_run), "status": cue.status}
    if window > now:
        sentence = f"It is due in {_duration(window - now)}, at {rfc3339(window)}."
        return Explanation(at, "due", sentence, window, facts)
    if now - window <= LATE_AFTER:
        return Explanation(at, "waiting", "It came due just now and is about to run.", window, facts)
    if cue.next_run is not None and cue.next_run <= window:
        sentence = (
            f"It came due {_duration(now - window)} ago and nothing has looked at it yet: no scheduler and no sweep is "
            "at work. Look at /health; once they run, catch_up decides."
        )
        return Explanation(at, "waiting", sentence, window, facts)
    sentence = "It was due and has no verdict, which must not be: run manage.py audit_slots."
    return Explanation(at, "unknown", sentence, window, facts)


def _duration(span: timedelta) -> str:
    """`3 days 4 hours`, `90.2 seconds`: the two largest units, or seconds for what is short."""
    seconds = span.total_seconds()
    if seconds < 120:
        return f"{round(seconds, 1):g} seconds"
    parts, rest = [], int(seconds)
    for name, size in (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {name}{'' if count == 1 else 's'}")
    return " ".join(parts[:2])
