"""How a cue did lately, and what was reported to an account, in three figures each (contract 3.5 and 8.2)."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Q

from cueapi.models import Account
from cues.models import Cue
from executions.models import Execution
from executions.states import FINAL, Status

WINDOW = timedelta(days=7)


@dataclass(frozen=True)
class CueStats:
    """Executions created within WINDOW. The rates are shares (0 to 1) of those that ended; None when none did."""

    executions: int
    success_rate: float | None
    miss_rate: float | None


def of_cue(cue: Cue, *, now: datetime) -> CueStats:
    """One query over the cue's executions of the window. A delivery whose outcome was a failure is no success."""
    counts = Execution.objects.filter(cue=cue, created_at__gt=now - WINDOW).aggregate(
        all=Count("pk"),
        ended=Count("pk", filter=Q(status__in=FINAL)),
        succeeded=Count("pk", filter=Q(status=Status.SUCCESS) & ~Q(outcome_success=False)),
        missed=Count("pk", filter=Q(status=Status.MISSED)),
    )
    ended = counts["ended"]
    return CueStats(counts["all"], _share(counts["succeeded"], ended), _share(counts["missed"], ended))


@dataclass(frozen=True)
class Outcomes:
    """Outcomes that were reported, whatever their verification says."""

    reported: int
    succeeded: int
    failed: int


def outcomes_since(account: Account, since: datetime) -> Outcomes:
    """Those of the account that were recorded from then on; the two parts make the whole."""
    counts = (
        Execution.objects.of(account)
        .filter(outcome_recorded_at__gte=since)
        .aggregate(reported=Count("pk"), succeeded=Count("pk", filter=Q(outcome_success=True)))
    )
    return Outcomes(counts["reported"], counts["succeeded"], counts["reported"] - counts["succeeded"])


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
