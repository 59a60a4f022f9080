"""The figures of `/metrics`, in Prometheus' terms: how beat does, and how much work waits.

Asked for at each scrape, with the bounded counts of `/health`; nothing is kept in the process. No account is named.
"""

from collections.abc import Iterator
from datetime import datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cueapi import liveness
from cues.models import Cue
from executions import health


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
    yield _gauge("workers_active", "Pulling workers that were heard of lately", health.workers(now=now)[0])


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(f"cueapi_{name}", words, value=float(value))
