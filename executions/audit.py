"""The auditor: works out anew which windows cues had, and holds the ledger and the executions against that.

Every window of every definition that a cue had must have exactly one verdict, every verdict that tells of a run must
have its execution, and every execution by the schedule must have its verdict. Reads only.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from cueapi.clock import rfc3339
from cueapi.errors import InvalidSchedule, InvalidTimezone
from cues.models import RUNS, Cue, CueStatus, Definition, LedgerEntry
from cues.rhythm import TICK
from executions import retention
from executions.models import Execution, Kept
from executions.states import Trigger

MISSING, DOUBLE, UNEXPLAINED = KINDS = ("missing", "double", "unexplained")
SETTLES_WITHIN = timedelta(minutes=5)
"""How long a window may wait for its verdict: schedulers and sweeps are that quick unless all are down."""

Row = TypeVar("Row", LedgerEntry, Definition)


@dataclass(frozen=True)
class Finding:
    """One thing that does not add up. `kind` is missing, double or unexplained."""

    cue_id: str
    kind: str
    at: datetime
    what: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.cue_id} at {rfc3339(self.at)}: {self.what}"


@dataclass
class Report:
    """What an audit looked at, and what it found."""

    cues: int = 0
    windows: int = 0
    findings: list[Finding] = field(default_factory=list)

    def count(self, kind: str) -> int:
        return sum(finding.kind == kind for finding in self.findings)

    def add(self, other: "Report") -> None:
        self.cues += other.cues
        self.windows += other.windows
        self.findings += other.findings


def audit(cues: Sequence[Cue], *, since: datetime, until: datetime, now: datetime) -> Report:
    """Audit the windows of these cues in [since, until]: four queries, and one more for each odd cue.

    What retention has removed is out of its reach: windows older than the ledger are not looked at, and a run may be
    told of whose execution was too old to be kept.
    """
    until = min(until, now)
    past = _read(cues, since, until)
    since = max(since, past.verdicts_since)
    report = Report(cues=len(cues))
    for cue in cues:
        try:
            _audit_cue(cue, past, report, since=since, until=until, now=now)
        except (InvalidSchedule, InvalidTimezone) as error:
            report.findings.append(Finding(cue.pk, UNEXPLAINED, since, f"its schedule cannot be read: {error}"))
    return report


@dataclass(frozen=True)
class _Past:
    definitions: Mapping[str, list[Definition]]
    entries: Mapping[str, list[LedgerEntry]]
    executions: Mapping[str, Mapping[datetime, UUID]]
    verdicts_since: datetime  # older ones may be gone (executions.retention), and with them what the cue was
    executions_since: datetime


def _read(cues: Sequence[Cue], since: datetime, until: datetime) -> _Past:
    ids = [cue.pk for cue in cues]
    definitions = Definition.objects.filter(cue__in=ids).order_by("since")
    entries = LedgerEntry.objects.filter(cue__in=ids, first_at__gte=since, first_at__lte=until).order_by("first_at")
    runs = Execution.objects.filter(
        cue__in=ids, triggered_by=Trigger.SCHEDULED, scheduled_for__gte=since, scheduled_for__lte=until
    ).values_list("cue_id", "scheduled_for", "pk")
    executions: dict[str, dict[datetime, UUID]] = defaultdict(dict)
    for cue_id, scheduled_for, pk in runs:
        executions[cue_id][scheduled_for] = pk
    past = _by_cue(definitions), _by_cue(entries), executions
    kept_since = retention.horizons()  # last: what is removed while this reads has moved its horizon first
    return _Past(*past, kept_since.get(Kept.LEDGER, since), kept_since.get(Kept.EXECUTIONS, since))


def _by_cue(rows: Iterable[Row]) -> Mapping[str, list[Row]]:
    grouped: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        grouped[row.cue_id].append(row)
    return grouped


def _audit_cue(cue: Cue, past: _Past, report: Report, *, since: datetime, until: datetime, now: datetime) -> None:
    windows = list(_windows(cue, past.definitions.get(cue.pk, []), since, until))
    entries = [entry for entry in past.entries.get(cue.pk, []) if entry.first_at >= since]
    if windows and (not entries or entries[0].first_at > windows[0]):
        entries = [*_reaching_into(cue, since), *entries]
    report.windows += len(windows)
    report.findings += _hold_against(cue, windows, entries, settled_by=now - SETTLES_WITHIN)
    report.findings += _match_runs(cue, entries, past, since)


def _windows(cue: Cue, definitions: Sequence[Definition], since: datetime, until: datetime) -> Iterator[datetime]:
    """The windows that the cue had, oldest first: those of each definition while it was in force."""
    ends = [*(definition.since for definition in definitions[1:]), until]
    seen: set[datetime] = set()  # a one-shot keeps its time through a change of something else
    for definition, end in zip(definitions, ends, strict=True):
        still_paused = definition.status == CueStatus.PAUSED and definition is definitions[-1]
        if definition.status not in (CueStatus.ACTIVE, CueStatus.PAUSED) or still_paused:
            continue
        timetable = definition.timetable
        if timetable is not None:
            start, end = max(definition.since, since - TICK), min(end, until)
            yield from timetable.between(start, end) if start < end else ()
        elif definition.at and definition.at not in seen and since <= definition.at <= min(end, until):
            seen.add(definition.at)
            yield definition.at


def _reaching_into(cue: Cue, since: datetime) -> list[LedgerEntry]:
    """The entry from before the period that covers its first windows, if there is one."""
    before = LedgerEntry.objects.filter(cue=cue, first_at__lt=since).order_by("-first_at").first()
    return [before] if before is not None and before.until >= since else []


def _hold_against(
    cue: Cue, windows: Sequence[datetime], entries: Sequence[LedgerEntry], *, settled_by: datetime
) -> Iterator[Finding]:
    """Each window must lie in one entry, and each entry must hold as many windows as it says."""
    verdicts = [0] * len(windows)
    for entry in entries:
        start, end = bisect_left(windows, entry.first_at), bisect_right(windows, entry.until)
        whole = windows[:1] and entry.first_at >= windows[0] and entry.until <= windows[-1]
        if end == start or (whole and end - start != entry.windows):
            what = f"“{entry.verdict}” for {entry.windows} window(s), where the cue had {end - start}"
            yield Finding(cue.pk, UNEXPLAINED, entry.first_at, what)
        for index in range(start, end):
            verdicts[index] += 1
    for window, count in zip(windows, verdicts, strict=True):
        if count > 1:
            yield Finding(cue.pk, DOUBLE, window, f"{count} verdicts")
        elif not count and window <= settled_by:
            yield Finding(cue.pk, MISSING, window, "no verdict")


def _match_runs(cue: Cue, entries: Sequence[LedgerEntry], past: _Past, since: datetime) -> Iterator[Finding]:
    """Each verdict that tells of a run has its execution, unless that is too old; each execution its verdict."""
    executions = past.executions.get(cue.pk, {})
    told = {entry.first_at: entry.execution_id for entry in entries if entry.verdict in RUNS}
    for at, execution_id in told.items():
        if at >= since and executions.get(at) != execution_id and (at in executions or at >= past.executions_since):
            yield Finding(cue.pk, UNEXPLAINED, at, f"its execution {execution_id} is not there")
    for at, execution_id in executions.items():
        if at not in told and at >= since:
            yield Finding(cue.pk, UNEXPLAINED, at, f"execution {execution_id} has no verdict")


def batches(cues: Any, *, size: int) -> Iterator[list[Cue]]:
    """The cues of a queryset by primary key, `size` at a time: no long cursor, and none twice."""
    last = ""
    while batch := list(cues.filter(pk__gt=last).order_by("pk")[:size]):
        yield batch
        last = batch[-1].pk
