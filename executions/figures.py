"""What is counted of executions as they go, for `/metrics`: once the transaction that makes it so commits."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial

from django.db import transaction

from cueapi import tally
from executions.transports.webhook import Result

DELIVERIES = "deliveries"  # by result class
ENDED = "ended"  # by status
SWEPT = "swept"  # by sweep
LATENESS = "lateness"
LATENCY = "latency"
LATENESS_BOUNDS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
LATENCY_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


def delivered(results: Sequence[Result]) -> None:
    """These attempts were recorded."""
    if results:
        transaction.on_commit(partial(_count_deliveries, results))


def _count_deliveries(results: Sequence[Result]) -> None:
    tally.count(DELIVERIES, Counter(result_class(result) for result in results))
    tally.observe(LATENCY, (result.duration_ms / 1000 for result in results), LATENCY_BOUNDS_S)
    first = (result for result in results if result.delivery.attempt == 1)
    late_s = ((one.started_at - one.delivery.scheduled_for).total_seconds() for one in first)
    tally.observe(LATENESS, late_s, LATENESS_BOUNDS_S)


def result_class(result: Result) -> str:
    """`2xx` to `5xx`, or the stage at which an attempt without a status failed."""
    return f"{result.http_status // 100}xx" if result.http_status else result.error_stage or "unknown"


def ended(counts: Mapping[str, int]) -> None:
    """So many executions ended, by status."""
    transaction.on_commit(partial(tally.count, ENDED, counts))


def swept(sweep: str, found: int) -> None:
    tally.count(SWEPT, {sweep: found})
