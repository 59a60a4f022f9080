"""What a cue, or a schedule that is none yet, will do: the preview of its due times, and of a resume."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from cues import definition, history, lifecycle, words
from cues.models import OPEN, Cue, CueStatus, Overlap
from cues.preview import Due, Preview, preview
from cues.zones import zone


@dataclass(frozen=True)
class Foresight:
    description: str
    timezone: str
    preview: Preview
    message: str | None


@dataclass(frozen=True)
class Resumption:
    """What a resume would do now."""

    status: str
    next_run: datetime | None
    windows_passed: int
    windows_caught_up: int
    message: str


def of_schedule(part: dict[str, Any], *, start: datetime | None, count: int, now: datetime) -> Foresight:
    """The preview of a schedule as a create would take it. Raises what a create raises."""
    cue = Cue()
    warning = definition.set_schedule(cue, part, now=now)
    jitter_s, cue.jitter_s = cue.jitter_s, 0
    foresight = of_cue(cue, start=start or now, count=count)
    if not jitter_s:
        return replace(foresight, message=foresight.message or warning)
    message = f"Each cue has its own jitter: a run of it comes up to {jitter_s} seconds after the time given here."
    return replace(foresight, message=message)


def of_cue(cue: Cue, *, start: datetime, count: int) -> Foresight:
    """The preview of a cue, jitter included; of a paused one, as if it were active. Raises InvalidSchedule."""
    tz = zone(cue.timezone)
    timetable = cue.timetable
    if timetable is None:
        return Foresight(describe(cue), cue.timezone, _one_shot(cue, start), _finished(cue))
    found = preview(timetable, tz, start=start, count=_left(cue, count))
    if cue.status not in OPEN:
        found = replace(found, next=())
    return Foresight(describe(cue), cue.timezone, found, _finished(cue) or _short(cue, found, count))


def of_resume(cue: Cue, *, now: datetime) -> Resumption:
    """What a resume would do. Raises InvalidSchedule where the resume would."""
    if cue.status != CueStatus.PAUSED:
        message = f"The cue is {cue.status}; there is nothing to resume."
        return Resumption(cue.status, cue.next_run, 0, 0, message)
    next_run = lifecycle.next_run_from(cue, now=now)
    span = history.unsettled(cue, now=now)
    passed = span.count if span else 0
    caught_up = passed if not cue.is_recurring else 0
    came = f"{passed} window{'' if passed == 1 else 's'} passed while the cue was paused"
    made_up = "it runs at once" if caught_up else "none of them is caught up"
    message = f"{came}; {made_up}." if passed else "No window passed while the cue was paused."
    if next_run is not None:
        message += f" The next run is at {_utc(next_run)}."
    return Resumption(cue.status, next_run, passed, caught_up, message)


def describe(cue: Cue) -> str:
    """The cue's schedule in words. Raises InvalidSchedule and InvalidTimezone for what cannot be read."""
    timetable = cue.timetable
    if timetable is None:
        return f"Once, at {_utc(cue.at)}"
    parts = [words.describe(timetable)]
    if cue.max_runs is not None:
        parts.append(f"at most {cue.max_runs} time{'' if cue.max_runs == 1 else 's'}")
    if cue.overlap == Overlap.SKIP:
        parts.append("not while an earlier run has not ended")
    if cue.overlap == Overlap.QUEUE:
        parts.append("one run after the other")
    return ", ".join(parts)


def _left(cue: Cue, count: int) -> int:
    """How many of the next due times the cue's max_runs allows."""
    return count if cue.max_runs is None else min(count, max(0, cue.max_runs - cue.fired_count))


def _one_shot(cue: Cue, start: datetime) -> Preview:
    if cue.at is None:
        return Preview((), (), ())
    due = Due(cue.at, cue.at.astimezone(zone(cue.timezone)), None)
    if cue.at >= start:
        return Preview((due,) if cue.status in OPEN and not cue.has_fired else (), (), ())
    return Preview((), (due,), ())


def _finished(cue: Cue) -> str | None:
    if cue.status in OPEN:
        return None
    return f"The cue is {cue.status}, so nothing is due any more. Give it a new schedule to make it active."


def _short(cue: Cue, found: Preview, count: int) -> str | None:
    """Why there are fewer due times than asked for."""
    if len(found.next) >= count:
        return None
    if cue.max_runs is not None and len(found.next) == _left(cue, count):
        return f"The schedule ends with its max_runs of {cue.max_runs}; {cue.fired_count} of them are done."
    return "The schedule has no later due time." if cue.ends_at else "No later due time comes within five years."


def _utc(instant: datetime | None) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC" if instant else "no time"
