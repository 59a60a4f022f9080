"""The times that a cron expression or an interval names, forwards and backwards, through clock changes.

Pure: no models, no clock, no I/O but the time zone data. A timetable adds bounds and jitter (cues.timetable).

UTC is walked in stretches of constant offset, in which wall clock and instant differ by a constant.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from cues.cron import Cron, Rule, rule_of
from cues.zones import change_between, offset_at

HORIZON = timedelta(days=5 * 365 + 3)  # five years hold up to two leap days, and the zone may have moved by one
TICK = timedelta(microseconds=1)

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
# A zone changes its offset at most once in a stretch: the shortest distance since 1970 is 6.96 days.
_STRETCH = timedelta(days=5)


class Rhythm(Protocol):
    """What names slots. All instants are aware and in UTC; a search gives up after five years without a slot."""

    def onward(self, after: datetime) -> Iterator[datetime]:
        """The slots strictly after `after`, oldest first."""

    def back(self, until: datetime) -> Iterator[datetime]:
        """The slots at or before `until`, newest first."""

    def count(self, after: datetime, until: datetime) -> int:
        """How many slots there are in (after, until]."""


@dataclass(frozen=True)
class Interval:
    """Every `every` before and after `anchor`, in elapsed time: no zone, no clock change."""

    every: timedelta
    anchor: datetime

    def onward(self, after: datetime) -> Iterator[datetime]:
        slot = self._at_or_before(after) + self.every
        while True:
            yield slot
            slot += self.every

    def back(self, until: datetime) -> Iterator[datetime]:
        slot = self._at_or_before(until)
        while True:
            yield slot
            slot -= self.every

    def count(self, after: datetime, until: datetime) -> int:
        return max(0, (until - self.anchor) // self.every - (after - self.anchor) // self.every)

    def _at_or_before(self, instant: datetime) -> datetime:
        return self.anchor + (instant - self.anchor) // self.every * self.every


@dataclass(frozen=True)
class _Stretch:
    """From `starts_at` up to but not including `ends_at` (UTC) the zone's offset is `offset`."""

    starts_at: datetime
    ends_at: datetime
    offset: timedelta

    @property
    def walls(self) -> tuple[datetime, datetime]:
        """Its first local time and the first after it, naive."""
        return (
            self.starts_at.replace(tzinfo=None) + self.offset,
            self.ends_at.replace(tzinfo=None) + self.offset,
        )


@dataclass(frozen=True)
class CronRhythm:
    """A cron expression in its zone. `dst` decides for fixed hours (contract 3.3): what becomes of a local time that
    does not exist (`skip`: nothing; else the first instant after the gap), and of one that occurs twice (`both`: both;
    else the first)."""

    cron: Cron
    tz: ZoneInfo
    dst: str = "default"

    def onward(self, after: datetime) -> Iterator[datetime]:
        start = after + TICK
        limit = start + HORIZON
        while start < limit:
            stretch = self._stretch_from(start, limit)
            for slot in self._slots_in(stretch, newest_first=False):
                yield slot
                limit = slot + HORIZON
            start = stretch.ends_at

    def back(self, until: datetime) -> Iterator[datetime]:
        end = until + TICK
        limit = end - HORIZON
        while end > limit:
            stretch = self._stretch_to(end, limit)
            for slot in self._slots_in(stretch, newest_first=True):
                yield slot
                limit = slot - HORIZON
            end = stretch.starts_at

    def count(self, after: datetime, until: datetime) -> int:
        start, end, total = after + TICK, until + TICK, 0
        while start < end:
            stretch = self._stretch_from(start, end)
            total += self._count_in(stretch)
            start = stretch.ends_at
        return total

    def local_times(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """The naive local times in [start, end) that the expression names, whether or not clocks show them."""
        return _walls(self.rule, start, end, newest_first=False)

    @property
    def rule(self) -> Rule:
        return rule_of(self.cron.fields)

    def _stretch_from(self, start: datetime, limit: datetime) -> _Stretch:
        offset, end = offset_at(self.tz, start), min(start + _STRETCH, limit)
        if offset_at(self.tz, end) != offset:
            end = change_between(self.tz, start, end)
        return _Stretch(start, end, offset)

    def _stretch_to(self, end: datetime, limit: datetime) -> _Stretch:
        offset, start = offset_at(self.tz, end - TICK), max(end - _STRETCH, limit)
        if offset_at(self.tz, start) != offset:
            start = change_between(self.tz, start, end - TICK)
        return _Stretch(start, end, offset)

    def _slots_in(self, stretch: _Stretch, *, newest_first: bool) -> Iterator[datetime]:
        if self.rule.follows_elapsed_time:
            return _elapsed_in(self.rule, stretch, newest_first)
        return self._fixed_in(stretch, newest_first)

    def _fixed_in(self, stretch: _Stretch, newest_first: bool) -> Iterator[datetime]:
        """Each matching local time, with what `dst` says of those that were lost or come again."""
        held_back = stretch.starts_at if self._lost_a_match(stretch) else None
        if held_back and not newest_first:
            yield held_back
        for slot in _elapsed_in(self.rule, stretch, newest_first):
            if slot != held_back and (self.dst == "both" or slot.astimezone(self.tz).fold == 0):
                yield slot
        if held_back and newest_first:
            yield held_back

    def _lost_a_match(self, stretch: _Stretch) -> bool:
        """Whether clocks jumped over a matching local time, to be made up for, as this stretch began."""
        if self.dst == "skip":
            return False
        jumped_from = stretch.starts_at.replace(tzinfo=None) + offset_at(self.tz, stretch.starts_at - TICK)
        return any(True for _ in _walls(self.rule, jumped_from, stretch.walls[0], newest_first=False))

    def _count_in(self, stretch: _Stretch) -> int:
        """Counted by hours where no clock changed lately, else one by one."""
        unchanged = offset_at(self.tz, stretch.starts_at - _DAY) == stretch.offset
        if unchanged or self.rule.follows_elapsed_time:
            return _count_walls(self.rule, *stretch.walls)
        return sum(1 for _ in self._fixed_in(stretch, newest_first=False))


def _elapsed_in(rule: Rule, stretch: _Stretch, newest_first: bool) -> Iterator[datetime]:
    """Every instant whose wall clock matches, so both passes of a repeated hour, and nothing for a gap."""
    for wall in _walls(rule, *stretch.walls, newest_first):
        yield (wall - stretch.offset).replace(tzinfo=UTC)


def _walls(rule: Rule, start: datetime, end: datetime, newest_first: bool) -> Iterator[datetime]:
    """The matching local times in [start, end), all naive."""
    for day in _days(rule, start, end, newest_first):
        yield from _walls_on(day, rule, start, end, newest_first)


def _days(rule: Rule, start: datetime, end: datetime, newest_first: bool) -> Iterator[date]:
    days = range(start.toordinal(), end.toordinal() + 1)
    for ordinal in reversed(days) if newest_first else days:
        day = date.fromordinal(ordinal)
        if rule.runs_on(day):
            yield day


def _walls_on(day: date, rule: Rule, start: datetime, end: datetime, newest_first: bool) -> Iterator[datetime]:
    order = -1 if newest_first else 1
    for hour in rule.hours[::order]:
        top = datetime.combine(day, time(hour))
        if top + _HOUR <= start or top >= end:
            continue
        walls = (top.replace(minute=minute) for minute in rule.minutes[::order])
        yield from (wall for wall in walls if start <= wall < end)


def _count_walls(rule: Rule, start: datetime, end: datetime) -> int:
    return sum(_count_on(day, rule, start, end) for day in _days(rule, start, end, newest_first=False))


def _count_on(day: date, rule: Rule, start: datetime, end: datetime) -> int:
    midnight = datetime.combine(day, time())
    return _count_before(rule, _minutes(end - midnight)) - _count_before(rule, _minutes(start - midnight))


def _minutes(since_midnight: timedelta) -> int:
    """Whole minutes, rounded up, within the day: a time that falls on the next minute has not been yet."""
    return min(max(-(-since_midnight // timedelta(minutes=1)), 0), 24 * 60)


def _count_before(rule: Rule, minute_of_day: int) -> int:
    """How many times of a day lie before this one."""
    hour, minute = divmod(minute_of_day, 60)
    full = bisect_left(rule.hours, hour)
    of_this_hour = bisect_left(rule.minutes, minute) if hour in rule.hours else 0
    return full * len(rule.minutes) + of_this_hour
