"""Pace: so many attempts a minute, evenly. Pure: when the next one may start, and how many may start now.

What was not used up is not saved for later: who has been idle starts as one that is new.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

MINUTE = timedelta(minutes=1)
BURST = timedelta(seconds=1)  # so much lateness is made good, and so much of a fast pace may be used up at once


@dataclass(frozen=True)
class Pace:
    """`slack` is how late an attempt may start and leave those after it where they are."""

    every: timedelta
    slack: timedelta
    next_at: datetime | None

    @classmethod
    def even(cls, rate_per_minute: int, next_at: datetime | None) -> "Pace":
        """So many a minute in the long run; a fast one may begin with a second's worth more."""
        every = MINUTE / rate_per_minute
        return cls(every, BURST if every < BURST else timedelta(0), next_at)

    @classmethod
    def strict(cls, rate_per_minute: int, next_at: datetime | None) -> "Pace":
        """No more than so many in any minute there is, however late some of them start."""
        every_us = ceil((MINUTE + BURST) / timedelta(microseconds=1) / rate_per_minute)
        return cls(timedelta(microseconds=every_us), BURST, next_at)

    def starting(self, *, now: datetime) -> int:
        """How many attempts may start at `now`."""
        return max(0, (now - self._since(now)) // self.every + 1)

    def after(self, attempts: int, *, now: datetime) -> datetime:
        """When the next one may start, once so many have started at `now`."""
        return self._since(now) + attempts * self.every

    def _since(self, now: datetime) -> datetime:
        """From when on attempts are counted."""
        if self.next_at is not None and self.next_at >= now - self.slack:
            return self.next_at
        return now - self.slack if self.every < BURST else now
