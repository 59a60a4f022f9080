"""When a cue comes due: its rhythm within its bounds, each slot put off by its own jitter.

Pure. A slot's jitter hangs on nothing but the cue and the slot, so that a preview is true, and never reaches the next
slot, so that slots keep their order.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

from cues.rhythm import TICK, Rhythm

_SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Timetable:
    """The due times of one recurring schedule, in UTC. `starts_at` and `ends_at` are inclusive and bound the times
    before jitter; `jitter_s` is the most seconds that a slot is put off; `seed` makes one cue's jitter its own."""

    rhythm: Rhythm
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    jitter_s: int = 0
    seed: str = ""

    def next(self, after: datetime) -> datetime | None:
        """The first due time strictly after `after`; None where the rhythm gives up or the bounds end it."""
        return next(self.onward(after), None)

    def nth(self, after: datetime, count: int) -> datetime | None:
        """The `count`-th due time (from 1) strictly after `after`."""
        return next(islice(self.onward(after), count - 1, None), None)

    def previous(self, until: datetime) -> datetime | None:
        """The last due time at or before `until`."""
        return next(self.back(until), None)

    def between(self, after: datetime, until: datetime, at_most: int | None = None) -> list[datetime]:
        """The due times in (after, until], oldest first; of more than `at_most`, the newest."""
        after = _aware_utc(after)
        return list(islice(_while_after(self.back(until), after), at_most))[::-1]

    def count(self, after: datetime, until: datetime) -> int:
        """How many due times there are in (after, until]."""
        first, last = self.next(after), self.previous(until)
        if first is None or last is None or last < first:
            return 0
        return self.rhythm.count(self.slot_of(first) - TICK, self.slot_of(last))

    def onward(self, after: datetime) -> Iterator[datetime]:
        """The due times strictly after `after`, oldest first."""
        after = _aware_utc(after)
        for slot in self._slots_onward(after):
            due_at = self._put_off(slot)
            if due_at > after:
                yield due_at

    def back(self, until: datetime) -> Iterator[datetime]:
        """The due times at or before `until`, newest first."""
        until = _aware_utc(until)
        for slot in self._slots_back(until):
            due_at = self._put_off(slot)
            if due_at <= until:
                yield due_at

    def _slots_onward(self, after: datetime) -> Iterator[datetime]:
        """The slots within the bounds, from the first on that may be due after `after`."""
        start = after
        if self.jitter_s:
            start = next(self.rhythm.back(after), after) - TICK
        if self.starts_at:
            start = max(start, self.starts_at - TICK)
        for slot in self.rhythm.onward(start):
            if self.ends_at and slot > self.ends_at:
                return
            yield slot

    def _slots_back(self, until: datetime) -> Iterator[datetime]:
        start = min(until, self.ends_at) if self.ends_at else until
        for slot in self.rhythm.back(start):
            if self.starts_at and slot < self.starts_at:
                return
            yield slot

    def slot_of(self, due_at: datetime) -> datetime:
        """The time before jitter of a due time."""
        if not self.jitter_s:
            return due_at
        return next(self.rhythm.back(due_at))

    def _put_off(self, slot: datetime) -> datetime:
        if not self.jitter_s:
            return slot
        following = next(self.rhythm.onward(slot), None)
        room_s = (following - slot) // _SECOND - 1 if following else self.jitter_s
        return slot + _jitter(self.seed, slot, at_most_s=min(self.jitter_s, room_s))


def _jitter(seed: str, slot: datetime, *, at_most_s: int) -> timedelta:
    """From 0 to `at_most_s` whole seconds, evenly spread, the same whenever it is asked for."""
    digest = hashlib.sha256(f"{seed} {slot.isoformat()}".encode()).digest()
    return timedelta(seconds=int.from_bytes(digest[:8]) % (at_most_s + 1))


def _while_after(newest_first: Iterable[datetime], after: datetime) -> Iterator[datetime]:
    for due_at in newest_first:
        if due_at <= after:
            return
        yield due_at


def _aware_utc(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise ValueError("a naive datetime names no instant; pass an aware one")
    return instant.astimezone(UTC)
