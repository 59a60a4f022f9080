"""The figures of `/metrics`, in Prometheus' terms: who lives, how much work waits, and what was done so far.

Asked for at each scrape: bounded counts of what waits, and the counters that all processes keep in the volatile store
(`cueapi.tally`), so that history is never counted. No account is named.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from cueapi import liveness, tally
from cueapi.volatile import Unavailable
from cues.models import Cue
from executions import figures, health
from executions.states import FINAL


def text(*, now: datetime) -> bytes:
    """All figures in the text format of Prometheus."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(now))
    return generate_latest(registry)


class _Figures(Collector):
    def __init__(self, now: datetime) -> None:
        self._now = now

    def collect(self) -> Iterator[Metric]:
        seen = liveness.look(now=self._now)
        yield from _beats(seen)
        yield _gauge("database_up", "1 when the database answers", seen.database == "ok")
        yield _gauge("volatile_store_up", "1 when Redis or Valkey answers", seen.volatile == "ok")
        yield _gauge("broker_up", "1 when the broker takes connections", seen.broker == "ok")
        if seen.database == "ok":
            yield from _waiting(self._now)
        with contextlib.suppress(Unavailable):
            yield from _workers(self._now)
            yield from _counted(tally.read())


def _beats(seen: liveness.Health) -> Iterator[Metric]:
    age = GaugeMetricFamily("cueapi_beat_last_cycle_age_seconds", "Since the last cycle of a beat", labels=["beat"])
    took = GaugeMetricFamily("cueapi_beat_cycle_seconds", "What the last cycle of a beat took", labels=["beat"])
    states = GaugeMetricFamily("cueapi_beats", "Beat processes by state", labels=["state"])
    for beat in seen.beats:
        age.add_metric([beat.name], max(0.0, beat.silent_s))
        took.add_metric([beat.name], beat.cycle.duration_ms / 1000)
    for state in ("ok", "silent"):
        states.add_metric([state], sum(beat.state == state for beat in seen.beats))
    yield from (age, took, states)


def _waiting(now: datetime) -> Iterator[Metric]:
    due = Cue.objects.due(now).order_by("next_run").values_list("next_run", flat=True)
    oldest = due.first()
    late_s = max(0.0, (now - oldest).total_seconds()) if oldest else 0.0
    yield _gauge("cues_due", f"Cues due and not fired, up to {health.COUNT_MAX}", due[: health.COUNT_MAX].count())
    yield _gauge("cues_due_oldest_seconds", "How long the oldest of them has been due", late_s)
    waiting = GaugeMetricFamily(
        "cueapi_executions_waiting", f"Executions by what they wait for, up to {health.COUNT_MAX} each", labels=["what"]
    )
    for what, count in health.counters(now=now).items():
        waiting.add_metric([what], count)
    yield waiting
    yield _labelled("backlog_executions", "Due webhooks by the breaker of their lane", "state", health.backlog(now=now))
    yield _labelled("destinations", "Destinations by the state of their breaker", "state", health.breakers())
    yield _gauge("workers_active", "Pulling workers that were heard of lately", health.workers(now=now)[0])


def _workers(now: datetime) -> Iterator[Metric]:
    silent_s = liveness.workers_silent_s(now=now)
    yield _labelled("worker_last_sign_age_seconds", "Since the last sign of a worker process", "worker", silent_s)
    ok = sum(age_s <= liveness.WORKER_SILENT_S for age_s in silent_s.values())
    states = {"ok": ok, "silent": len(silent_s) - ok}
    yield _labelled("worker_processes", "Worker processes by state", "state", states)


# --- What was done ----------------------------------------------------------------------------------------------


Counts = Mapping[str, Mapping[str, int]]


def _counted(counts: Counts) -> Iterator[Metric]:
    """Counters start at zero when the volatile store is emptied."""
    yield _counter("deliveries", "Attempts by the class of their result", "result", counts.get(figures.DELIVERIES, {}))
    ended = {str(status): counts.get(figures.ENDED, {}).get(status, 0) for status in sorted(FINAL)}
    yield _counter("executions_ended", "Executions that ended, by status", "status", ended)
    yield _counter("sweep_found", "What sweeps found, by sweep", "sweep", counts.get(figures.SWEPT, {}))
    late, took = counts.get(figures.LATENESS, {}), counts.get(figures.LATENCY, {})
    words = "From the due time of a webhook to its first attempt"
    yield _histogram("delivery_lateness_seconds", words, late, figures.LATENESS_BOUNDS_S)
    yield _histogram("delivery_duration_seconds", "What an attempt took", took, figures.LATENCY_BOUNDS_S)


def _counter(name: str, words: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(f"cueapi_{name}", words, labels=[label])
    for value, count in sorted(counts.items()):
        family.add_metric([value], count)
    return family


def _histogram(name: str, words: str, counts: Mapping[str, int], bounds_s: Sequence[float]) -> Metric:
    names = [*(str(bound) for bound in bounds_s), tally.BEYOND]
    sums = accumulate(counts.get(bound, 0) for bound in names)
    buckets = list(zip(names, sums, strict=True))
    return HistogramMetricFamily(f"cueapi_{name}", words, buckets=buckets, sum_value=counts.get("sum_ms", 0) / 1000)


def _labelled(name: str, words: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"cueapi_{name}", words, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(f"cueapi_{name}", words, value=float(value))
