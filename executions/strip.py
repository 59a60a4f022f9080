"""The last windows of a cue, one mark for each, by what became of them: read from the ledger, and laid out.

A row of the ledger that stands for many windows counts as many, and is drawn as so many marks with one link.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from cueapi.clock import utc_text
from cueapi.errors import InvalidSchedule, InvalidTimezone
from cues import history
from cues.models import RUNS, Cue, CueStatus, LedgerEntry, Verdict
from executions.alerts import has_failed
from executions.links import Links
from executions.models import Execution
from executions.states import FAILURE, Status

WINDOWS_MAX = 200
COUNTED_MAX = 1000  # rows of the ledger before those shown whose windows are counted
COLUMNS = 25
CELL = 16  # of the drawing's units, the gap to the next one included
UNSETTLED = {CueStatus.PAUSED: "passed while paused"}
OUTCOME_COLUMNS = ("status", "outcome_success", "outcome_state")

WORDS = {
    Verdict.RAN: "ran",
    Verdict.QUEUED: "ran after the ones before it",
    Verdict.CAUGHT_UP: "ran late",
    Verdict.MISSED: "missed",
    Verdict.OVERLAP: "skipped: an earlier run had not ended",
    Verdict.PAUSED: "skipped: paused",
    Verdict.LIMIT: "skipped: max_runs was used up",
    Verdict.CHANGED: "skipped: the schedule was changed",
}
TONES = {Status.SUCCESS: "good", Status.RETRYING: "warn", Status.RETRY_READY: "warn"} | dict.fromkeys(FAILURE, "bad")


@dataclass(frozen=True)
class Slot:
    """A window, or `windows` consecutive ones that came to the same end. `label` says to which, `tone` colours it."""

    first_at: datetime
    until: datetime
    windows: int
    label: str
    tone: str
    url: str
    execution_id: UUID | None = None

    @property
    def title(self) -> str:
        if self.windows == 1:
            return f"{utc_text(self.first_at)}: {self.label}"
        return f"{utc_text(self.first_at)} to {utc_text(self.until)}: {self.windows} windows, {self.label}"


@dataclass(frozen=True)
class Group:
    """A slot as it is drawn: where each of its marks begins, in units."""

    slot: Slot
    marks: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Count:
    label: str
    tone: str
    windows: int


@dataclass(frozen=True)
class Strip:
    """The slots, oldest first. `before` windows are older, or more than that many where `has_more`."""

    slots: tuple[Slot, ...]
    before: int
    has_more: bool

    @property
    def windows(self) -> int:
        return sum(slot.windows for slot in self.slots)

    @property
    def newest_first(self) -> Sequence[Slot]:
        return self.slots[::-1]

    @property
    def groups(self) -> tuple[Group, ...]:
        return tuple(_laid_out(self.slots))

    @property
    def width(self) -> int:
        return min(self.windows, COLUMNS) * CELL

    @property
    def height(self) -> int:
        return -(-self.windows // COLUMNS) * CELL

    @property
    def legend(self) -> Sequence[Count]:
        """How many windows came to each end, the most frequent first."""
        counts: Counter[tuple[str, str]] = Counter()
        for slot in self.slots:
            counts[slot.label, slot.tone] += slot.windows
        return [Count(label, tone, windows) for (label, tone), windows in counts.most_common()]


def read(cue: Cue, links: Links, *, now: datetime) -> Strip:
    """The cue's last WINDOWS_MAX windows: four bounded queries, each by an index."""
    entries = list(LedgerEntry.objects.filter(cue=cue).order_by("-first_at")[:WINDOWS_MAX])
    runs = _runs(entries)
    newest_first = [*_unsettled(cue, links, now=now), *(_slot(entry, runs, links) for entry in entries)]
    shown, cut = _newest(newest_first)
    if not shown:
        return Strip((), 0, False)
    before = _windows_before(cue, shown[-1].first_at)
    return Strip(tuple(shown[::-1]), cut + sum(before[:COUNTED_MAX]), len(before) > COUNTED_MAX)


def _newest(newest_first: Sequence[Slot]) -> tuple[list[Slot], int]:
    """The slots of the newest windows, and how many windows of the last one were left out."""
    shown, left = [], WINDOWS_MAX
    for slot in newest_first:
        if left <= 0:
            break
        windows = min(slot.windows, left)
        cut, left = slot.windows - windows, left - windows
        shown.append(Slot(**{**vars(slot), "windows": windows}))
    return shown, cut if shown else 0


def _windows_before(cue: Cue, first_at: datetime) -> list[int]:
    older = LedgerEntry.objects.filter(cue=cue, first_at__lt=first_at).order_by("-first_at")
    return list(older.values_list("windows", flat=True)[: COUNTED_MAX + 1])


def _runs(entries: Sequence[LedgerEntry]) -> dict[UUID, Execution]:
    """The executions that these windows made and that are still stored."""
    made = [entry.execution_id for entry in entries if entry.execution_id and entry.verdict in RUNS]
    return {run.pk: run for run in Execution.objects.filter(pk__in=made).only("pk", *OUTCOME_COLUMNS)}


def _unsettled(cue: Cue, links: Links, *, now: datetime) -> Iterator[Slot]:
    """The windows that have no verdict yet."""
    try:
        span = history.unsettled(cue, now=now)
    except (InvalidSchedule, InvalidTimezone):
        return
    if span is not None:
        label = UNSETTLED.get(CueStatus(cue.status), "due now")
        yield Slot(span.first, span.last, span.count, label, "idle", links.why(span.first))


def _slot(entry: LedgerEntry, runs: dict[UUID, Execution], links: Links) -> Slot:
    run = runs.get(entry.execution_id) if entry.execution_id else None
    if run is None:
        label, tone = _without_run(entry)
        return Slot(entry.first_at, entry.until, entry.windows, label, tone, links.why(entry.first_at))
    how = "" if entry.verdict == Verdict.RAN else f"{WORDS[Verdict(entry.verdict)]}, "
    label, tone = how + _ended(run), "bad" if has_failed(run) else TONES.get(Status(run.status), "info")
    return Slot(entry.first_at, entry.until, entry.windows, label, tone, links.execution(run.pk), run.pk)


def _without_run(entry: LedgerEntry) -> tuple[str, str]:
    words = WORDS[Verdict(entry.verdict)]
    if entry.verdict in RUNS:
        return f"{words}, no longer stored", "idle"
    return words, "bad" if entry.verdict == Verdict.MISSED else "idle"


def _ended(run: Execution) -> str:
    status = run.status.replace("_", " ")
    return f"{status}, but its work failed" if run.status == Status.SUCCESS and has_failed(run) else status


def _laid_out(slots: Sequence[Slot]) -> Iterator[Group]:
    """Line by line, as one reads."""
    place = 0
    for slot in slots:
        places = range(place, place + slot.windows)
        yield Group(slot, tuple((at % COLUMNS * CELL, at // COLUMNS * CELL) for at in places))
        place += slot.windows
