"""Times to scale: instants and spans placed along a line of 1000, with long waits shortened.

Pure. Between two instants at which something happened the line keeps its scale up to a limit; a longer stretch is drawn
shorter, and marked as such, so that milliseconds stay visible beside hours.
"""

from bisect import bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate, pairwise
from math import log10

LENGTH = 1000.0
SHORTENED_BEYOND = 4  # times what all spans of work last together
SHORTEST_S = 0.05  # below, everything keeps its scale


@dataclass(frozen=True)
class Scale:
    """Where each instant lies. `breaks` are the middles of the stretches that are drawn shorter than they lasted."""

    instants: Sequence[datetime]
    places: Sequence[float]
    breaks: Sequence[float]

    def place(self, at: datetime) -> float:
        """From 0 to 1000; beyond the ends, the end."""
        if not self.instants or at <= self.instants[0]:
            return 0.0
        right = bisect_right(self.instants, at)
        if right == len(self.instants):
            return self.places[-1]
        start, end = self.instants[right - 1], self.instants[right]
        share = (at - start) / (end - start)
        return self.places[right - 1] + share * (self.places[right] - self.places[right - 1])


def scale(instants: Collection[datetime], *, work_s: float) -> Scale:
    """A scale over these instants. `work_s`: how many seconds all spans of work, which matter most, lasted together."""
    ordered = sorted(set(instants))
    if len(ordered) < 2:
        return Scale(ordered, [0.0] * len(ordered), [])
    limit_s = max(SHORTENED_BEYOND * work_s, SHORTEST_S)
    lasted = [(after - before).total_seconds() for before, after in pairwise(ordered)]
    drawn = [_drawn(seconds, limit_s) for seconds in lasted]
    factor = LENGTH / sum(drawn)
    places = [0.0, *(min(LENGTH, part * factor) for part in accumulate(drawn))]
    breaks = [(places[index] + places[index + 1]) / 2 for index, seconds in enumerate(lasted) if drawn[index] < seconds]
    return Scale(ordered, places, breaks)


def _drawn(seconds: float, limit_s: float) -> float:
    return seconds if seconds <= limit_s else limit_s * (1 + log10(seconds / limit_s))
