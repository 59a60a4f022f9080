"""What a timetable will do, and what clock changes do to it, for people who want to see it before. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from cues.rhythm import TICK, CronRhythm, Rhythm
from cues.timetable import Timetable
from cues.words import duration
from cues.zones import change_between, offset_at

DAY = timedelta(days=1)
STEP = timedelta(days=5)  # no zone changes its clocks twice within one
LOOKS_AHEAD = timedelta(days=400)  # for clock changes beyond which nothing is told
NAMED_MAX = 3  # local times in a sentence


@dataclass(frozen=True)
class Due:
    """A due time; `note` says what a clock change of that day does, `jitter` how much later than its slot it is."""

    at: datetime
    local: datetime
    note: str | None
    jitter: timedelta = timedelta(0)


@dataclass(frozen=True)
class Change:
    """A clock change of the zone, what the schedule makes of it, and the first and last local day that it touches."""

    at: datetime
    first: date
    last: date
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
    changes = tuple(_changes(timetable, tz, first - DAY, last + DAY))
    return Preview(_dues(timetable, tz, coming), _dues(timetable, tz, gone), changes)


def note_of(timetable: Timetable, tz: ZoneInfo, at: datetime) -> str | None:
    """What a clock change of the local day of `at` does to the schedule; None when there is none."""
    day = at.astimezone(tz).date()
    found = (change for change in _changes(timetable, tz, at - 2 * DAY, at + 2 * DAY))
    return next((change.sentence for change in found if change.first <= day <= change.last), None)


def _dues(timetable: Timetable, tz: ZoneInfo, instants: Sequence[datetime]) -> tuple[Due, ...]:
    notes: dict[date, str | None] = {}
    dues = []
    for at in instants:
        local = at.astimezone(tz)
        if local.date() not in notes:
            notes[local.date()] = note_of(timetable, tz, at)
        dues.append(Due(at, local, notes[local.date()], at - timetable.slot_of(at)))
    return tuple(dues)


# --- Clock changes ----------------------------------------------------------------------------------------------


def _changes(timetable: Timetable, tz: ZoneInfo, start: datetime, end: datetime) -> Iterator[Change]:
    """Those within the bounds of the timetable."""
    if timetable.starts_at:
        start = max(start, timetable.starts_at - TICK)
    end = min(end, timetable.ends_at or end)
    while start < end:
        stop = min(start + STEP, end)
        if offset_at(tz, start) != offset_at(tz, stop):
            yield _change(timetable.rhythm, tz, change_between(tz, start, stop))
        start = stop


def _change(rhythm: Rhythm, tz: ZoneInfo, at: datetime) -> Change:
    """The local times from the earlier of `before` and `after` to the later are left out, or come twice."""
    naive = at.replace(tzinfo=None)
    before, after = naive + offset_at(tz, at - TICK), naive + offset_at(tz, at)
    last = after if after > before else before - TICK  # what was left out may run as the gap ends
    return Change(at, min(before, after).date(), last.date(), _sentence(rhythm, tz, before, after))


def _sentence(rhythm: Rhythm, tz: ZoneInfo, before: datetime, after: datetime) -> str:
    moved = f"clocks go {'forward' if after > before else 'back'} from {before:%H:%M} to {_clock(after, before)}"
    day = f"{min(before, after):%Y-%m-%d} in {tz.key}"
    if not isinstance(rhythm, CronRhythm):
        shift = f"{duration(abs(after - before))} {'later' if after > before else 'earlier'}"
        return f"On {day} {moved}; an interval follows elapsed time, so its local times are {shift} from then on."
    walls = list(islice(rhythm.local_times(min(before, after), max(before, after)), NAMED_MAX + 1))
    if not walls:
        return f"On {day} {moved}; no due time of this schedule is touched."
    if rhythm.rule.follows_elapsed_time:
        end = "does not run at times left out" if after > before else "runs both times"
        return f"On {day} {moved}; this schedule follows elapsed time and {end}."
    what = "does not exist" if after > before else "occurs twice"
    ends = _left_out(rhythm.dst, after, before) if after > before else _repeated(rhythm.dst)
    if len(walls) == 1:
        return f"{walls[0]:%H:%M} {what} on {day}, because {moved}: it {ends[0]}."
    what = "do not exist" if after > before else "occur twice"
    return f"{_named(walls)} {what} on {day}, because {moved}: {ends[1]}."


def _named(walls: Sequence[datetime]) -> str:
    times = [f"{wall:%H:%M}" for wall in walls[:NAMED_MAX]]
    if len(walls) > NAMED_MAX:
        return f"{', '.join(times)} and more"
    return f"{', '.join(times[:-1])} and {times[-1]}"


def _left_out(dst: str, after: datetime, before: datetime) -> tuple[str, str]:
    """What becomes of one local time that does not exist, and of several."""
    if dst == "skip":
        return "does not run", "they do not run"
    end = _clock(after, before)
    return f"runs at {end}", f"they run once, at {end}"


def _repeated(dst: str) -> tuple[str, str]:
    if dst == "both":
        return "runs both times", "each runs both times"
    return "runs the first time only", "each runs the first time only"


def _clock(wall: datetime, other: datetime) -> str:
    """A time of day, with its date when the change is to another day."""
    return f"{wall:%H:%M}" if wall.date() == other.date() else f"{wall:%Y-%m-%d %H:%M}"
