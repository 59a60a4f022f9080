"""How the show looks: lines of a timeline, a countdown, the summary. Knows nothing of what is played."""

import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Protocol

WIDTH = 100
NOTE_INDENT = " " * 12  # where the text of a timeline's lines begins

GREEN, RED, BOLD, DIM = "32", "31", "1", "2"


class Writer(Protocol):
    """The part of Django's `self.stdout` that is used here."""

    def write(self, msg: str = "", style_func: None = None, ending: str | None = None) -> None: ...
    def flush(self) -> None: ...


@dataclass(frozen=True)
class Row:
    """One scene in the summary. `took_s` is None when it was not played."""

    title: str
    went_as_told: bool
    took_s: float | None
    result: str


class Screen:
    """Writes each line at once, so that it is seen when it happens, also through a pipe."""

    def __init__(self, out: Writer, *, colour: bool, terminal: bool) -> None:
        self._out = out
        self._colour = colour
        self._terminal = terminal

    def line(self, text: str = "") -> None:
        self._out.write(text)
        self._out.flush()

    def paint(self, text: str, *codes: str) -> str:
        return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if self._colour else text

    def heading(self, number: str, title: str, promise: str) -> None:
        self.line()
        self.line(self.paint(f"{number}  {title}", BOLD))
        self.line(f"{' ' * len(number)}  {promise}")

    def verdict(self, went_as_told: bool, text: str) -> None:
        mark = self.paint("✓", GREEN) if went_as_told else self.paint("✗", RED)
        first, *more = textwrap.wrap(text, WIDTH - len(NOTE_INDENT), break_on_hyphens=False)
        self.line(f"{NOTE_INDENT[:-2]}{mark} {first}")
        for part in more:
            self.line(NOTE_INDENT + part)

    def count_down(self, until_s: float, arrived: Callable[[float], bool], what: str) -> None:
        """Call `arrived(timeout_s)` until it is true or the monotonic clock passes `until_s`.

        A terminal shows the seconds left; elsewhere one line says what is waited for.
        """
        if not self._terminal:
            self.line(f"{NOTE_INDENT}waiting for {what}")
        try:
            for left_s in _seconds_left(until_s):
                self._overwrite(f"{NOTE_INDENT}{ceil(left_s):2d} s until {what}")
                if arrived(left_s % 1 or 1):
                    return
        finally:
            self._overwrite("")

    def _overwrite(self, text: str) -> None:
        if self._terminal:
            self._out.write(f"\r{text.ljust(WIDTH - 1)}\r", ending="")
            self._out.flush()

    def summary(self, rows: Sequence[Row]) -> bool:
        """The table and the last line; whether all went as told."""
        self.line()
        for text in table(rows):
            self.line(text)
        told = sum(row.went_as_told for row in rows)
        verb = "scene" if len(rows) == 1 else "scenes"
        self.line()
        text = f"{told} of {len(rows)} {verb} went as told."
        self.line(self.paint(text, BOLD, GREEN if told == len(rows) else RED))
        return told == len(rows)


class Timeline:
    """The lines of one scene, each with the seconds since it began."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self.began_s = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.began_s

    def add(self, text: str, *, at_s: float | None = None) -> None:
        """A line for what happened now, or at `at_s` on the monotonic clock."""
        since_s = (time.monotonic() if at_s is None else at_s) - self.began_s
        stamp = self.screen.paint(stamp_of(since_s), DIM)
        self.screen.line(f"{stamp}  {text}")


def stamp_of(since_s: float) -> str:
    """`  +0.062 s`, as wide for a minute as for a moment."""
    return f"{f'+{since_s:.3f}':>8} s"


def table(rows: Sequence[Row]) -> Iterator[str]:
    """A heading and one line for each row."""
    cells = [("Scene", "As told", "Took", "What the API says")]
    cells += [(row.title, "yes" if row.went_as_told else "NO", _took(row.took_s), row.result) for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(3)]
    for title, told, took, result in cells:
        yield f"  {title:<{widths[0]}}  {told:<{widths[1]}}  {took:>{widths[2]}}  {result}".rstrip()


def _took(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.2f} s"


def _seconds_left(until_s: float) -> Iterator[float]:
    while (left_s := until_s - time.monotonic()) > 0:
        yield left_s
