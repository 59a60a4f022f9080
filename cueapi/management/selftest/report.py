"""How the run looks: the first lines, the progress, the findings, and the verdict on the last line."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from cueapi.management.selftest.judging import Findings, KindRow, Lateness, percentile

WIDTH = 110
LINE_EVERY_S = 10.0
BAR_MAX = 40
REFUSED_SHOWN = 3
EDGES_S = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20)


class Writer(Protocol):
    """The part of Django's `self.stdout` that is used here."""

    def write(self, msg: str = "", style_func: None = None, ending: str | None = None) -> None: ...
    def flush(self) -> None: ...


class Screen:
    """Writes each line at once; the progress in one line that changes, or every ten seconds without a terminal."""

    def __init__(self, out: Writer, *, is_terminal: bool) -> None:
        self._out = out
        self._is_terminal = is_terminal
        self._shown_s = -LINE_EVERY_S

    def line(self, text: str = "") -> None:
        self._out.write(text)
        self._out.flush()

    def progress(self, elapsed_s: float, text: str) -> None:
        if self._is_terminal:
            self._out.write(f"\r\x1b[K{elapsed_s:4.0f} s  {text}", ending="")
            self._out.flush()
        elif elapsed_s - self._shown_s >= LINE_EVERY_S:
            self._shown_s = elapsed_s
            self.line(f"{elapsed_s:4.0f} s  {text}")

    def end_progress(self) -> None:
        if self._is_terminal:
            self._out.write("\r\x1b[K", ending="")
        self._shown_s = 0.0  # the next thing to follow is told of after ten seconds


def settings_told(shortened: Mapping[str, str]) -> str:
    words = ", ".join(f"{name}={value}" for name, value in shortened.items())
    return textwrap.fill(f"Set for this run: {words}.", WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def findings_told(found: Findings) -> str:
    return "\n\n".join([_counts(found), _kinds(found.kinds), _lateness(found.lateness)])


def passed(found: Findings) -> str:
    """The last line of a test that found no fault."""
    kills = sum(found.kills.values())
    return (
        f"PASSED: {found.final} executions, none lost, no attempt twice, every verdict right, "
        f"through {kills} kill{'' if kills == 1 else 's'}."
    )


def failed(faults: Sequence[str], *, kept: Path | None, seed: int) -> str:
    """Details where a fault has several lines, and the last line, with what to do."""
    details = [fault for fault in faults if "\n" in fault]
    short = "; ".join(fault.partition("\n")[0].rstrip(".:") for fault in faults)
    where = f" The logs and the data are kept in {kept}; --seed {seed} makes the same plan again." if kept else ""
    return "\n".join([*details, f"FAILED: {short}.{where}"])


# --- Counts -----------------------------------------------------------------------------------------------------


def _counts(found: Findings) -> str:
    per_s = found.requests / found.busy_s if found.busy_s else 0.0
    kills = ", ".join(f"{victim} {count}" for victim, count in sorted(found.kills.items())) or "none"
    rows = [
        ("executions scheduled", found.scheduled, ""),
        ("executions final", found.final, ""),
        ("lost", found.lost, "never made, not final, or a success that no receiver saw"),
        ("attempts", found.attempts, f"{found.interrupted} interrupted by a kill; those count"),
        ("attempts with one number twice", found.misnumbered + found.numbers_twice, ""),
        ("requests received", found.requests, f"{per_s:.0f} a second over {found.busy_s:.0f} s"),
        ("accepted twice", found.repeats, _repeats(found)),
        ("wrong verdicts", found.wrong, ""),
        ("kills", sum(found.kills.values()), kills),
    ]
    lines = [f"{name:<32}{count:>7}{'  ' + note if note else ''}" for name, count, note in rows]
    return "\n".join([*lines, *(f"  not taken: {refusal}" for refusal in found.refused[:REFUSED_SHOWN])])


def _repeats(found: Findings) -> str:
    if not found.repeats:
        return ""
    explained = found.repeats - found.repeats_unexplained
    return f"{explained} of them on the wire when a worker was killed: delivery is at least once"


def _kinds(rows: Sequence[KindRow]) -> str:
    head = f"{'receiver':<36}{'must end in':<20}{'executions':>10}{'as expected':>13}{'attempts':>10}{'requests':>10}"
    return "\n".join([head, *(_kind(row) for row in rows)])


def _kind(row: KindRow) -> str:
    kind = row.kind
    ending = f"{kind.verdict} ({kind.stage})" if kind.stage else kind.verdict
    return f"{kind.does:<36}{ending:<20}{row.executions:>10}{row.as_expected:>13}{row.attempts:>10}{row.requests:>10}"


# --- Lateness ---------------------------------------------------------------------------------------------------


def _lateness(late: Lateness) -> str:
    lines = ["Lateness of first requests, from the due time to the receiver"]
    for name, values in (("in quiet", late.quiet_s), ("around kills", late.around_kills_s)):
        p50, p99 = percentile(values, 0.5), percentile(values, 0.99)
        lines.append(f"  {name:<13} p50 {_duration(p50):>8}   p99 {_duration(p99):>8}   of {len(values)}")
    return "\n".join([*lines, *histogram(late)])


def histogram(late: Lateness) -> list[str]:
    """A line for each stretch of lateness: `#` for what was in quiet, `+` for what was around a kill."""
    quiet, around = _buckets(late.quiet_s), _buckets(late.around_kills_s)
    most = max([1, *(a + b for a, b in zip(quiet, around, strict=True))])
    return [
        f"  {label} |{'#' * _bar(q, most)}{'+' * _bar(a, most)} {q + a}"
        for label, q, a in zip(_labels(), quiet, around, strict=True)
    ] + ["           # in quiet, + around kills"]


def _buckets(values: Sequence[float]) -> list[int]:
    counts = [0] * (len(EDGES_S) + 1)
    for value in values:
        counts[sum(value >= edge for edge in EDGES_S)] += 1
    return counts


def _labels() -> list[str]:
    return [*(f"< {_duration(edge):>6}" for edge in EDGES_S), f"≥ {_duration(EDGES_S[-1]):>6}"]


def _bar(count: int, most: int) -> int:
    return -(-count * BAR_MAX // most)


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
