"""What a cue, or a schedule that is none yet, will do: the preview of its due times, and of a resume."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from cueapi.errors import InvalidSchedule, InvalidTimezone
from cues import definition, history, lifecycle, words
from cues.models import OPEN, CatchUp, Cue, CueStatus, Overlap, Schedule
from cues.preview import Due, Preview, preview
from cues.timetable import Timetable
from cues.zones import zone

COUNTED = timedelta(days=50 * 366)  # runs further away than that are not counted towards max_runs


@dataclass(frozen=True)
class Foresight:
    description: str
    timezone: str
    preview: Preview
    message: str | None

    def with_message(self, message: str | None) -> "Foresight":
        return replace(self, message=_sentences(self.message, message))


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
    description, jitter_s, cue.jitter_s = describe(cue), cue.jitter_s, 0
    found = of_cue(cue, start=start or now, count=count, now=now)
    jitter = f"Each cue has its own jitter: a run of it comes up to {jitter_s} seconds after the time given here."
    told = found.with_message(warning).with_message(jitter if jitter_s else None)
    return replace(told, description=description)


def of_cue(cue: Cue, *, start: datetime, count: int, now: datetime) -> Foresight:
    """The preview of a cue, jitter included; of a paused one, as if it were resumed now. Raises InvalidSchedule."""
    timetable = cue.timetable
    if timetable is None:
        return Foresight(describe(cue), cue.timezone, _one_shot(cue, start), _state(cue, now=now))
    allowed = _allowed(cue, timetable, start, count, now=now)
    found = preview(timetable, zone(cue.timezone), start=start, count=count)
    if cue.status not in OPEN:
        return Foresight(describe(cue), cue.timezone, replace(found, next=()), _state(cue, now=now))
    shown = replace(found, next=found.next[:allowed])
    why = _why_short(cue, found, shown, count)
    return Foresight(describe(cue), cue.timezone, shown, _sentences(_state(cue, now=now), why))


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


def in_words(cue: Schedule) -> str:
    """The schedule of a cue, or of a past definition of one, in words; of what cannot be read, why not."""
    try:
        return describe(cue)
    except (InvalidSchedule, InvalidTimezone) as error:
        return f"cannot be read: {error.message}"


def describe(cue: Schedule) -> str:
    """The schedule in words. Raises InvalidSchedule and InvalidTimezone for what cannot be read."""
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


def _allowed(cue: Cue, timetable: Timetable, start: datetime, count: int, *, now: datetime) -> int:
    """How many of the `count` due times after `start` the cue's max_runs allows, those up to then being run."""
    if cue.max_runs is None:
        return count
    left = max(0, cue.max_runs - cue.fired_count)
    if start < now:
        return min(count, left + timetable.count(max(start, now - COUNTED), now))
    return min(count, max(0, left - timetable.count(now, min(start, now + COUNTED))))


def _one_shot(cue: Cue, start: datetime) -> Preview:
    if cue.at is None:
        return Preview((), (), ())
    due = Due(cue.at, cue.at.astimezone(zone(cue.timezone)), None)
    if cue.at >= start:
        return Preview((due,) if cue.status in OPEN and not cue.has_fired else (), (), ())
    return Preview((), (due,), ())


def _state(cue: Cue, *, now: datetime) -> str | None:
    """What there is to know of a cue that is not active."""
    if cue.status == CueStatus.ACTIVE:
        return None
    if cue.status != CueStatus.PAUSED:
        return f"The cue is {cue.status}, so nothing is due any more. Give it a new schedule to make it active."
    if cue.is_recurring or cue.at is None or cue.at > now or cue.has_fired:
        return "The cue is paused: this is what it does once it is resumed."
    late = "it cannot be resumed without a new time" if cue.catch_up == CatchUp.SKIP else "it runs when it is resumed"
    return f"The cue is paused and its time has passed: {late}."


def _why_short(cue: Cue, found: Preview, shown: Preview, count: int) -> str | None:
    """Why there are fewer due times than asked for."""
    if len(shown.next) < len(found.next):
        return f"The schedule ends with its max_runs of {cue.max_runs}; {cue.fired_count} of them are done."
    if len(shown.next) == count:
        return None
    return "The schedule has no later due time." if cue.ends_at else "No later due time comes within five years."


def _sentences(*sentences: str | None) -> str | None:
    return " ".join(filter(None, sentences)) or None


def _utc(instant: datetime | None) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC" if instant else "no time"
