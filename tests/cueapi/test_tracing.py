"""Traces: what receivers are told, whose trace goes on, and spans where OpenTelemetry is installed."""

import re
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any
from uuid import UUID

import pytest

from cueapi import clock, tracing
from executions import chaining, delivery, firing
from executions.lanes import Lane
from executions.models import Execution
from executions.states import Status
from tests.support import make
from tests.support.api import Api
from tests.support.receiver import Answer, Receiver

RUN = UUID("7d0b6a0e-0f3c-4c36-9a0e-1f6c0f5d7a55")
THEIRS = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
FORM = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]")


def test_an_execution_s_own_trace_has_its_id_and_each_attempt_a_span_of_its_own() -> None:
    told = [tracing.of_attempt(RUN, attempt, None) for attempt in (1, 2)]
    assert all(FORM.fullmatch(one) and one.split("-")[1] == RUN.hex for one in told)
    assert len({one.split("-")[2] for one in [*told, tracing.of_execution(RUN, None)]}) == 3
    assert told[0] == tracing.of_attempt(RUN, 1, None)


def test_a_given_trace_goes_on_with_its_flags() -> None:
    told = tracing.of_attempt(RUN, 1, THEIRS).split("-")
    assert (told[1], told[3]) == (THEIRS.split("-")[1], "00")
    assert told[2] != THEIRS.split("-")[2]


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "x",
        THEIRS.upper(),
        "ff" + THEIRS[2:],
        THEIRS[:-1],
        f"00-{'0' * 32}-{'1' * 16}-01",
        f"00-{'1' * 32}-{'0' * 16}-01",
    ],
)
def test_what_is_no_traceparent_is_ignored(header: str | None) -> None:
    assert tracing.read(header) is None


def test_a_later_version_s_traceparent_is_read_as_far_as_it_is_known() -> None:
    later = f"01{THEIRS[2:]}-more"
    assert tracing.read(later) == later[:55]


@pytest.mark.django_db(transaction=True)
def test_a_fire_s_trace_reaches_the_receiver_at_every_attempt(api: Api, receiver: Receiver) -> None:
    cue = make.recurring(api.account, callback_url=receiver.url, backoff_minutes=[0])
    receiver.will_answer(Answer(500), Answer(200))
    run = api.send("POST", f"/v1/cues/{cue.pk}/fire", {}, traceparent=THEIRS).json()
    lane = Lane.of(Execution.objects.get(pk=run["id"]))
    delivery.drain(lane)
    Execution.objects.filter(status=Status.RETRYING).update(due_at=clock.now())
    delivery.drain(lane)
    told = [one.headers["traceparent"] for one in receiver.received]
    assert [one.split("-")[1] for one in told] == [THEIRS.split("-")[1]] * len(told)
    assert len(set(told)) == len(told) == 2


@pytest.mark.django_db(transaction=True)
def test_any_other_execution_is_sent_with_its_own_trace(receiver: Receiver) -> None:
    run = make.execution(make.recurring(make.account(), callback_url=receiver.url), due_at=clock.now())
    delivery.drain(Lane.of(run))
    assert receiver.received[0].headers["traceparent"] == tracing.of_attempt(run.pk, 1, None)


@pytest.mark.django_db(transaction=True)
def test_the_cue_s_own_header_stands(receiver: Receiver) -> None:
    cue = make.recurring(make.account(), callback_url=receiver.url, callback_headers={"Traceparent": THEIRS})
    delivery.drain(Lane.of(make.execution(cue, due_at=clock.now())))
    assert receiver.received[0].headers["traceparent"] == THEIRS


@pytest.mark.django_db
def test_a_chain_is_one_trace_and_a_replay_another() -> None:
    target = make.recurring(make.account())
    cue = make.recurring(target.account, on_success_fire=target)
    run = make.execution(cue, status=Status.SUCCESS)
    chaining.follow(run, now=make.NOW)
    chained = Execution.objects.get(chain_parent=run)
    assert tracing.of_execution(chained.pk, chained.traceparent).split("-")[1] == run.pk.hex
    assert firing.replay(run, now=make.NOW).traceparent is None


def test_without_an_exporter_nothing_is_traced() -> None:
    with tracing.span("x", THEIRS, cue_id="c") as span:
        span.tell(status=200)
    assert span.traceparent == ""
    assert tracing.span("x") is tracing.span("y")


# --- With OpenTelemetry -----------------------------------------------------------------------------------------


TRACED = """
from cueapi import tracing
with tracing.span("outer", parent="%s", cue_id="c") as outer:
    with tracing.span("inner"):
        print(outer.traceparent)
tracing._tracer().span_processor.force_flush()
"""


class Collector(HTTPServer):
    """Takes spans as an OpenTelemetry collector does."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Collecting)
        self.bodies: list[bytes] = []


class Collecting(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Tests are quiet."""


def test_spans_go_on_from_the_trace_they_are_given_and_are_exported() -> None:
    pytest.importorskip("opentelemetry.sdk")
    collector = Collector()
    Thread(target=collector.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{collector.server_port}"
    sampled = THEIRS[:-1] + "1"
    done = subprocess.run(
        [sys.executable, "-c", TRACED % sampled],
        env={"OTEL_EXPORTER_OTLP_ENDPOINT": url, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
    )
    collector.shutdown()
    collector.server_close()
    told = done.stdout.strip().split("-")
    assert told[1] == sampled.split("-")[1] and told[2] != sampled.split("-")[2], done.stderr
    sent = b"".join(collector.bodies)
    assert b"outer" in sent and b"inner" in sent and b"cue.id" in sent
    assert bytes.fromhex(told[1]) in sent
