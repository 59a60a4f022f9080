"""How each of many cues does lately: its newest execution, and how many failed in a row."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from django.db.models import QuerySet

from executions.alerts import has_failed
from executions.models import Execution

LOOKED_AT = 20  # of each cue's executions, the newest
COLUMNS = ("cue_id", "created_at", "scheduled_for", "closed_at", "status", "outcome_success", "outcome_state")


@dataclass(frozen=True)
class Lately:
    """`failures` ended since the last execution that did not fail; as many or more where `is_more`."""

    newest: Execution | None = None
    failures: int = 0
    is_more: bool = False

    @property
    def in_words(self) -> str:
        if not self.failures:
            return "none"
        return f"{self.failures} or more" if self.is_more else str(self.failures)


def lately(cue_ids: Sequence[str]) -> Mapping[str, Lately]:
    """By cue, for those that have executions: one query, whose cost grows with the number of cues asked for only."""
    if not cue_ids:
        return {}
    first, *others = (_newest(cue_id) for cue_id in cue_ids)
    found: dict[str, list[Execution]] = defaultdict(list)
    for run in first.union(*others, all=True) if others else first:
        found[run.cue_id].append(run)
    return {cue_id: _lately(runs) for cue_id, runs in found.items()}


def _newest(cue_id: str) -> QuerySet[Execution]:
    """In a subquery, since SQLite takes no limit within a union."""
    newest = Execution.objects.filter(cue=cue_id).newest_first().values("pk")[:LOOKED_AT]
    rows: QuerySet[Execution] = Execution.objects.filter(pk__in=newest)
    return rows.only(*COLUMNS)


def _lately(runs: Sequence[Execution]) -> Lately:
    newest = max(runs, key=lambda run: (run.created_at, run.pk))
    by_end = sorted((run for run in runs if run.closed_at), key=lambda run: (run.closed_at, run.created_at))
    failures = sum(1 for _ in takewhile(has_failed, reversed(by_end)))
    return Lately(newest, failures, failures == LOOKED_AT)
