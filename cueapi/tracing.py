"""Traces: each execution has one, and its receivers are told of it (https://www.w3.org/TR/trace-context/).

An execution's trace is its caller's, where the caller sent a `traceparent`; otherwise its own, whose id is that of the
execution without dashes, so that nothing has to be kept. With OpenTelemetry installed (requirements-otel.txt) and an
exporter named in the environment, requests, fires and attempts are spans too. This module alone knows of it; without it
a span costs a function call.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any
from uuid import UUID

try:
    from opentelemetry import trace as otel
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError:
    otel = None

HEADER = "traceparent"
WANTED_BY = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
SAMPLED = "01"
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def read(header: str | None) -> str | None:
    """The caller's `traceparent`; None when there is none, or one that the standard says to ignore."""
    text = (header or "").strip()[:55]
    return text if _TRACEPARENT.fullmatch(text) else None


def of_execution(execution_id: UUID, given: str | None) -> str:
    """The trace of an execution: the one it was given, or its own."""
    return given or f"00-{execution_id.hex}-{_span_id(execution_id.hex)}-{SAMPLED}"


def of_attempt(execution_id: UUID, attempt: int, given: str | None) -> str:
    """What an attempt tells its receiver: the execution's trace, and a span of the attempt's own."""
    _, trace_id, _, flags = of_execution(execution_id, given).split("-")
    return f"00-{trace_id}-{_span_id(f'{execution_id.hex} {attempt}')}-{flags}"


def _span_id(seed: str) -> str:
    return hashlib.sha256(seed.encode()).hexdigest()[:16]


# --- Spans ------------------------------------------------------------------------------------------------------


class Span:
    """A piece of work as it is traced. `traceparent` is what others are told of it; empty where nothing is traced."""

    def __init__(self, span: Any = None, traceparent: str = "") -> None:
        self._span = span
        self.traceparent = traceparent

    def tell(self, **attributes: str | int | float | bool) -> None:
        if self._span is not None:
            self._span.set_attributes({_name(key): value for key, value in attributes.items()})


UNTRACED = nullcontext(Span())


def span(name: str, parent: str | None = None, **attributes: str | int | float | bool) -> AbstractContextManager[Span]:
    """Trace the block as a span; `parent` is the `traceparent` that it goes on from. `cue_id` is told as `cue.id`."""
    tracer = _tracer()
    return UNTRACED if tracer is None else _span(tracer, name, parent, attributes)


@contextmanager
def _span(tracer: Any, name: str, parent: str | None, attributes: dict[str, Any]) -> Iterator[Span]:
    propagator = TraceContextTextMapPropagator()
    around = propagator.extract({HEADER: parent}) if parent else None
    told = {_name(key): value for key, value in attributes.items()}
    with tracer.start_as_current_span(name, context=around, attributes=told) as started:
        carrier: dict[str, str] = {}
        propagator.inject(carrier)
        yield Span(started, carrier.get(HEADER, ""))


def _name(key: str) -> str:
    return key.replace("_", ".")


@cache
def _tracer() -> Any:
    """None unless OpenTelemetry is installed and the environment says where spans go."""
    if otel is None or not any(os.environ.get(name) for name in WANTED_BY):
        return None
    provider = TracerProvider(resource=Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME", "cueapi")}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider.get_tracer("cueapi")
