"""When a cue comes due: the due times of an expression in its zone, through clock changes, and missed windows.

Pure: no models, no clock, no I/O but the time zone data. Services use it to check schedules and to set `next_run`;
firing uses `plan` to learn which windows to run. Contract 3.2, 3.3, 3.4 and 3.7.

UTC is walked in stretches of constant offset, in which wall clock and instant differ by a constant.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from cues.cron import Cron, Rule, parse_cron, refused, rule_of, shown, to_numeric_fields
from cues.zones import change_between, local_instant, offset_at, parse_at, zone

__all__ = [
    "Cron",
    "Plan",
    "due_after",
    "due_between",
    "first_due",
    "local_instant",
    "next_due",
    "parse_at",
    "parse_cron",
    "plan",
    "previous_due",
    "to_numeric_fields",
    "zone",
]

HORIZON = timedelta(days=5 * 365 + 2)  # five years hold at most two leap days
MISSED_RUNS_AT_MOST = {"skip_missed": 0, "run_once_if_missed": 1, "replay_all_missed": 100}

_TICK = timedelta(microseconds=1)
_HOUR = timedelta(hours=1)
# A zone changes its offset at most once in a stretch: the shortest distance since 1970 is 6.96 days.
_STRETCH = timedelta(days=5)


@dataclass(frozen=True)
class Plan:
    """What a cue that came due does: `slots` to run now, oldest first, and its `next_run`, if any."""

    slots: tuple[datetime, ...]
    next_run: datetime | None


@dataclass(frozen=True)
class _Stretch:
    """From `starts_at` up to but not including `ends_at` (UTC) the zone's offset is `offset`."""

    starts_at: datetime
    ends_at: datetime
    offset: timedelta


def next_due(cron: Cron, tz: ZoneInfo, after: datetime) -> datetime | None:
    """The first due instant strictly after `after`, in UTC; None if there is none within five years."""
    start = _aware_utc(after) + _TICK
    stretches = _stretches_onward(tz, start, start + HORIZON)
    return next(_due_in(cron, tz, stretches, newest_first=False), None)


def due_after(cron: Cron, tz: ZoneInfo, after: datetime, count: int) -> datetime | None:
    """The `count`-th due instant (from 1) strictly after `after`, in UTC; None if they come too rarely."""
    start = _aware_utc(after) + _TICK
    stretches = _stretches_onward(tz, start, start + count * HORIZON)
    return next(islice(_due_in(cron, tz, stretches, newest_first=False), count - 1, None), None)


def previous_due(cron: Cron, tz: ZoneInfo, before: datetime) -> datetime | None:
    """The last due instant at or before `before`, in UTC; None if there is none within five years."""
    end = _aware_utc(before) + _TICK
    return next(_due_backward(cron, tz, end - HORIZON, end), None)


def due_between(cron: Cron, tz: ZoneInfo, after: datetime, until: datetime, limit: int) -> list[datetime]:
    """The due instants in (after, until], oldest first; of more than `limit`, the newest."""
    start, end = _aware_utc(after) + _TICK, _aware_utc(until) + _TICK
    return list(islice(_due_backward(cron, tz, start, end), limit))[::-1]


def first_due(expression: str, timezone_name: str, now: datetime) -> datetime:
    """When a new recurring schedule first runs; raises InvalidTimezone, then InvalidSchedule."""
    tz = zone(timezone_name)
    due_at = next_due(parse_cron(expression), tz, now)
    if due_at is None:
        raise refused(f"{shown(expression.strip())} never comes due within five years")
    return due_at


def _aware_utc(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise ValueError("a naive datetime names no instant; pass an aware one")
    return instant.astimezone(UTC)


def _due_backward(cron: Cron, tz: ZoneInfo, start: datetime, end: datetime) -> Iterator[datetime]:
    return _due_in(cron, tz, _stretches_back(tz, start, end), newest_first=True)


def _stretches_onward(tz: ZoneInfo, start: datetime, end: datetime) -> Iterator[_Stretch]:
    while start < end:
        offset, stop = offset_at(tz, start), min(start + _STRETCH, end)
        if offset_at(tz, stop) != offset:
            stop = change_between(tz, start, stop)
        yield _Stretch(start, stop, offset)
        start = stop


def _stretches_back(tz: ZoneInfo, start: datetime, end: datetime) -> Iterator[_Stretch]:
    while start < end:
        offset, begin = offset_at(tz, end - _TICK), max(end - _STRETCH, start)
        if offset_at(tz, begin) != offset:
            begin = change_between(tz, begin, end - _TICK)
        yield _Stretch(begin, end, offset)
        end = begin


def _due_in(cron: Cron, tz: ZoneInfo, stretches: Iterable[_Stretch], *, newest_first: bool) -> Iterator[datetime]:
    rule = rule_of(cron.fields)
    due = _elapsed_in if rule.follows_elapsed_time else _fixed_in
    for stretch in stretches:
        yield from due(rule, tz, stretch, newest_first)


def _elapsed_in(rule: Rule, _tz: ZoneInfo, stretch: _Stretch, newest_first: bool) -> Iterator[datetime]:
    """Every instant whose wall clock matches, so both passes of a repeated hour, and nothing for a gap."""
    start = stretch.starts_at.replace(tzinfo=None) + stretch.offset
    end = stretch.ends_at.replace(tzinfo=None) + stretch.offset
    for wall in _walls(rule, start, end, newest_first):
        yield (wall - stretch.offset).replace(tzinfo=UTC)


def _fixed_in(rule: Rule, tz: ZoneInfo, stretch: _Stretch, newest_first: bool) -> Iterator[datetime]:
    """Each matching local time once: the first pass of a repeated hour, the end of the gap for a lost one."""
    held_back = stretch.starts_at if _lost_a_match(rule, tz, stretch) else None
    if held_back and not newest_first:
        yield held_back
    for instant in _elapsed_in(rule, tz, stretch, newest_first):
        if instant != held_back and instant.astimezone(tz).fold == 0:
            yield instant
    if held_back and newest_first:
        yield held_back


def _lost_a_match(rule: Rule, tz: ZoneInfo, stretch: _Stretch) -> bool:
    """Whether clocks jumped over a matching local time as this stretch began."""
    utc = stretch.starts_at.replace(tzinfo=None)
    jumped_from = utc + offset_at(tz, stretch.starts_at - _TICK)
    return any(True for _ in _walls(rule, jumped_from, utc + stretch.offset, newest_first=False))


def _walls(rule: Rule, start: datetime, end: datetime, newest_first: bool) -> Iterator[datetime]:
    """The matching local times in [start, end), all naive."""
    days = range(start.toordinal(), end.toordinal() + 1)
    for ordinal in reversed(days) if newest_first else days:
        day = date.fromordinal(ordinal)
        if rule.runs_on(day):
            yield from _walls_on(day, rule, start, end, newest_first)


def _walls_on(day: date, rule: Rule, start: datetime, end: datetime, newest_first: bool) -> Iterator[datetime]:
    order = -1 if newest_first else 1
    for hour in rule.hours[::order]:
        top = datetime.combine(day, time(hour))
        if top + _HOUR <= start or top >= end:
            continue
        walls = (top.replace(minute=minute) for minute in rule.minutes[::order])
        yield from (wall for wall in walls if start <= wall < end)


# Missed windows


def plan(
    due_at: datetime, now: datetime, catch_up: str, grace_s: float, cron: Cron | None, tz: ZoneInfo | None
) -> Plan:
    """What a cue whose stored `next_run` is `due_at` must run at `now` (contract 3.7).

    A window seen later than `grace_s` seconds after its due time is missed. Windows in time always run;
    of the missed ones, the newest that `catch_up` allows. One-shots have no `cron`, so no next window.
    """
    if due_at > now:
        return Plan((), due_at)
    cutoff = now - timedelta(seconds=grace_s)
    if cron is None:
        allowed = due_at >= cutoff or MISSED_RUNS_AT_MOST[catch_up] > 0
        return Plan((due_at,) if allowed else (), None)
    return _plan_recurring(cron, tz or ZoneInfo("UTC"), due_at, now, cutoff, MISSED_RUNS_AT_MOST[catch_up])


def _plan_recurring(
    cron: Cron, tz: ZoneInfo, due_at: datetime, now: datetime, cutoff: datetime, missed_at_most: int
) -> Plan:
    last_missable = cutoff - _TICK
    if due_at > last_missable:
        slots = [due_at, *_all_due(cron, tz, due_at, now)]
    else:
        missed = [due_at, *due_between(cron, tz, due_at, last_missable, missed_at_most)]
        newest = missed[-missed_at_most:] if missed_at_most else []
        slots = [*newest, *_all_due(cron, tz, last_missable, now)]
    return Plan(tuple(slots), next_due(cron, tz, now))


def _all_due(cron: Cron, tz: ZoneInfo, after: datetime, until: datetime) -> list[datetime]:
    return list(_due_backward(cron, tz, after + _TICK, until + _TICK))[::-1]
