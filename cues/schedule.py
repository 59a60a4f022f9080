"""What a schedule says: reading it, its timetable, and what a cue that came due must run.

Pure: no models, no clock, no I/O but the time zone data. Services check schedules with it and set `next_run`; firing
asks `plan` which windows to run. Contract 3.2, 3.3, 3.4 and 3.7.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from cueapi.errors import InvalidSchedule
from cues.cron import Cron, parse_cron, refused, shown, to_numeric_fields
from cues.rhythm import TICK, CronRhythm, Interval
from cues.timetable import Timetable
from cues.zones import local_instant, parse_at, zone

__all__ = [
    "TICK",
    "Cron",
    "CronRhythm",
    "Interval",
    "Plan",
    "Span",
    "Timetable",
    "cron_timetable",
    "first_due",
    "local_instant",
    "parse_at",
    "parse_cron",
    "parse_every",
    "plan",
    "spell_every",
    "to_numeric_fields",
    "zone",
]

MISSED_RUNS_AT_MOST = {"skip_missed": 0, "run_once_if_missed": 1, "replay_all_missed": 100}
EVERY_MIN_S = 60
EVERY_MAX_S = 366 * 86_400

_UNITS_S = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}
_EVERY = re.compile(r"(?:([0-9]{1,8})w)?(?:([0-9]{1,8})d)?(?:([0-9]{1,8})h)?(?:([0-9]{1,8})m)?(?:([0-9]{1,8})s)?")


def cron_timetable(expression: str, timezone_name: str, dst: str = "default") -> Timetable:
    """The timetable of a bare cron expression; raises InvalidTimezone, then InvalidSchedule."""
    tz = zone(timezone_name)
    return Timetable(CronRhythm(parse_cron(expression), tz, dst))


def first_due(timetable: Timetable, after: datetime) -> datetime:
    """When a new recurring schedule first runs; raises InvalidSchedule when it never does."""
    due_at = timetable.next(after)
    if due_at is not None:
        return due_at
    if timetable.ends_at is not None:
        raise InvalidSchedule(
            "The schedule has no due time left before schedule.ends_at. Send a later ends_at, or null for no end."
        )
    assert isinstance(timetable.rhythm, CronRhythm)  # noqa: S101  an interval always has a next slot
    expression = timetable.rhythm.cron.expression
    raise refused(f"{shown(expression)} never comes due within five years")


def parse_every(text: str) -> int:
    """The seconds of an interval such as `15m`, `1h30m` or `7d`; raises InvalidSchedule."""
    tidy = text.strip().lower()
    match = _EVERY.fullmatch(tidy)
    if not tidy or match is None:
        raise InvalidSchedule(
            f"schedule.every: {shown(text)} is not an interval. Use numbers with w, d, h, m or s, such as 15m or 1h30m."
        )
    seconds = sum(int(number or 0) * unit for number, unit in zip(match.groups(), _UNITS_S.values(), strict=True))
    if not EVERY_MIN_S <= seconds <= EVERY_MAX_S:
        raise InvalidSchedule(f"schedule.every: {shown(text)} is not between one minute (1m) and 366 days (366d).")
    return seconds


def spell_every(seconds: int) -> str:
    """The shortest spelling of an interval in one or more units: 5400 is `1h30m`."""
    parts = []
    for unit, size in _UNITS_S.items():
        count, seconds = divmod(seconds, size)
        parts.append(f"{count}{unit}" if count else "")
    return "".join(parts)


# Missed windows


@dataclass(frozen=True)
class Span:
    """`count` consecutive windows, from `first` to `last`."""

    first: datetime
    last: datetime
    count: int


@dataclass(frozen=True)
class Plan:
    """What a cue that came due does: `missed` windows it leaves, those to run, oldest first, and its `next_run`."""

    missed: Span | None
    caught_up: tuple[datetime, ...]
    on_time: tuple[datetime, ...]
    next_run: datetime | None

    @property
    def slots(self) -> tuple[datetime, ...]:
        return self.caught_up + self.on_time

    @property
    def last_slot(self) -> datetime | None:
        """The latest window it deals with."""
        if self.slots:
            return self.slots[-1]
        return self.missed.last if self.missed else None


@lru_cache(maxsize=1024)  # cues of one message often share a schedule
def plan(due_at: datetime, now: datetime, catch_up: str, grace_s: float, timetable: Timetable | None) -> Plan:
    """What a cue whose stored `next_run` is `due_at` must do at `now` (contract 3.7).

    A window seen later than `grace_s` seconds after its due time is missed. Windows in time always run; of the missed
    ones, the newest that `catch_up` allows. One-shots have no timetable, so no next window.
    """
    if due_at > now:
        return Plan(None, (), (), due_at)
    last_missable = now - timedelta(seconds=grace_s) - TICK
    missed = _missed(timetable, due_at, last_missable, MISSED_RUNS_AT_MOST[catch_up])
    on_time = [] if due_at <= last_missable else [due_at]
    next_run = None
    if timetable is not None:
        on_time += timetable.between(max(due_at, last_missable), now)
        next_run = timetable.next(now)
    return Plan(*missed, tuple(on_time), next_run)


def _missed(
    timetable: Timetable | None, due_at: datetime, until: datetime, at_most: int
) -> tuple[Span | None, tuple[datetime, ...]]:
    """The windows from `due_at` to `until`: those that are left, and the newest, at most so many, that run."""
    if due_at > until:
        return None, ()
    if timetable is None:
        return (None, (due_at,)) if at_most else (Span(due_at, due_at, 1), ())
    after_first = timetable.count(due_at, until)
    run = timetable.between(due_at, until, at_most) if at_most else []
    if after_first < at_most:
        return None, (due_at, *run)
    last_left = timetable.previous(run[0] - TICK) if run else timetable.previous(until)
    return Span(due_at, max(last_left or due_at, due_at), 1 + after_first - len(run)), tuple(run)
