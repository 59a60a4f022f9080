"""A bar chart of what ended, hour by hour, as shapes: good at the bottom, bad on top. Pure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from executions.overview import Bar

WIDTH, HEIGHT = 960.0, 160.0
GAP = 0.2  # of a bar's place
TONES = (("success", "good"), ("failed", "bad"), ("missed", "warn"), ("outcome_timeout", "info"))


@dataclass(frozen=True)
class Segment:
    status: str
    tone: str
    count: int
    y: float
    height: float


@dataclass(frozen=True)
class Column:
    bar: Bar
    x: float
    width: float
    segments: Sequence[Segment]
    url: str


@dataclass(frozen=True)
class Chart:
    columns: Sequence[Column]
    top: int  # what the full height stands for
    width: float = WIDTH
    height: float = HEIGHT

    @property
    def ticks(self) -> Sequence[datetime]:
        """The times at its left edge, in its middle and at its right edge."""
        if not self.columns:
            return ()
        bars = [column.bar for column in self.columns]
        return (bars[0].start, bars[len(bars) // 2].start, bars[-1].end)


def draw(bars: Sequence[Bar], url_of: Callable[[Bar], str]) -> Chart:
    """`url_of` a bar is the list behind it."""
    top = max([bar.total for bar in bars], default=0)
    place = WIDTH / max(1, len(bars))
    columns = [
        Column(bar, (index + GAP / 2) * place, (1 - GAP) * place, list(_segments(bar, top)), url_of(bar))
        for index, bar in enumerate(bars)
    ]
    return Chart(columns, top)


def _segments(bar: Bar, top: int) -> Iterator[Segment]:
    """From the bottom up; one that counts anything is never too thin to be seen."""
    below = 0.0
    for status, tone in TONES:
        if count := bar.ended[status]:
            height = max(2.0, count / top * HEIGHT)
            below = min(HEIGHT, below + height)
            yield Segment(status, tone, count, HEIGHT - below, height)
