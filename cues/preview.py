"""What a timetable will do, and what clock changes do to it, for people who want to see it before. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from cues.rhythm import TICK, CronRhythm
from cues.timetable import Timetable
from cues.zones import change_between, offset_at

DAY = timedelta(days=1)
STEP = timedelta(days=5)  # no zone changes its clocks twice within one
LOOKS_AHEAD = timedelta(days=400)  # for clock changes beyond which nothing is told
NAMED_MAX = 3  # local times in a sentence


@dataclass(frozen=True)
class Due:
    """A due time; `note` says what a clock change of that day does."""

    at: datetime
    local: datetime
    note: str | None


@dataclass(frozen=True)
class Change:
    """A clock change of the zone, and what the schedule makes of it."""

    at: datetime
    day: date  # in local time, before the change
    sentence: str


@dataclass(frozen=True)
class Preview:
    next: tuple[Due, ...]
    previous: tuple[Due, ...]  # the latest first
    changes: tuple[Change, ...]


def preview(timetable: Timetable, tz: ZoneInfo, *, start: datetime, count: int) -> Preview:
    """The next `count` due times after `start` and as many before it, with the clock changes among them."""
    coming = list(islice(timetable.onward(start), count))
    gone = list(islice(timetable.back(start), count))
    first = max(min(gone, default=start), start - LOOKS_AHEAD)
    last = min(max(coming, default=start), start + LOOKS_AHEAD)
    changes = list(_changes(timetable, tz, first - DAY, last + DAY))
    notes = {change.day: change.sentence for change in changes}
    return Preview(_dues(coming, tz, notes), _dues(gone, tz, notes), tuple(changes))


def note_of(timetable: Timetable, tz: ZoneInfo, at: datetime) -> str | None:
    """What a clock change of the local day of `at` does to the schedule; None when there is none."""
    day = at.astimezone(tz).date()
    found = (change for change in _changes(timetable, tz, at - DAY, at + DAY) if change.day == day)
    return next((change.sentence for change in found), None)


def _dues(instants: Sequence[datetime], tz: ZoneInfo, notes: dict[date, str]) -> tuple[Due, ...]:
    locals_ = [instant.astimezone(tz) for instant in instants]
    return tuple(Due(instant, local, notes.get(local.date())) for instant, local in zip(instants, locals_, strict=True))


def _changes(timetable: Timetable, tz: ZoneInfo, start: datetime, end: datetime) -> Iterator[Change]:
    while start < end:
        stop = min(start + STEP, end)
        if offset_at(tz, start) != offset_at(tz, stop):
            at = change_between(tz, start, stop)
            yield Change(at, (at - TICK).astimezone(tz).date(), _sentence(timetable, tz, at))
        start = stop


def _sentence(timetable: Timetable, tz: ZoneInfo, at: datetime) -> str:
    naive = at.replace(tzinfo=None)
    before, after = naive + offset_at(tz, at - TICK), naive + offset_at(tz, at)
    moved = f"clocks go {'forward' if after > before else 'back'} from {before:%H:%M} to {_clock(after, before)}"
    day = f"{before:%Y-%m-%d} in {tz.key}"
    rhythm = timetable.rhythm
    if not isinstance(rhythm, CronRhythm) or rhythm.rule.follows_elapsed_time:
        return f"On {day} {moved}; this schedule follows elapsed time."
    walls = list(islice(rhythm.local_times(min(before, after), max(before, after)), NAMED_MAX + 1))
    if not walls:
        return f"On {day} {moved}; no due time of this schedule is touched."
    times = ", ".join(f"{wall:%H:%M}" for wall in walls[:NAMED_MAX]) + (" and more" if len(walls) > NAMED_MAX else "")
    if after > before:
        end = "does not run" if rhythm.dst == "skip" else f"runs at {_clock(after, before)}"
        return f"{times} does not exist on {day}, because {moved}: it {end}."
    end = "runs both times" if rhythm.dst == "both" else "runs the first time only"
    return f"{times} occurs twice on {day}, because {moved}: it {end}."


def _clock(wall: datetime, other: datetime) -> str:
    """A time of day, with its date when the change is to another day."""
    return f"{wall:%H:%M}" if wall.date() == other.date() else f"{wall:%Y-%m-%d %H:%M}"
