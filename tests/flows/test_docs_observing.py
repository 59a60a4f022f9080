"""docs/observing.md, run as printed, and held against what the code knows."""

import io
import json
import logging
import re
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cueapi import clock, tally
from cueapi.logging import JsonFormatter
from executions import delivery, firing
from executions.lanes import Lane
from executions.models import Execution
from executions.timeline import Kind, WaitFor
from tests.support import make
from tests.support.api import Api
from tests.support.make import NOW
from tests.support.printed import ROOT, Page, send
from tests.support.receiver import Receiver

PAGE = Page("docs/observing.md")

pytestmark = pytest.mark.django_db(transaction=True)


def table(first_heading: str) -> list[str]:
    """The first column of the table whose first heading is this."""
    text = (ROOT / PAGE.path).read_text()
    rows = text.split(f"| {first_heading} |", 1)[1].split("\n\n", 1)[0]
    return re.findall(r"^\| `(\w+)` \|", rows, re.MULTILINE)


def test_the_timeline_is_asked_for_as_printed(api: Api) -> None:
    cue = make.recurring(api.account)
    firing.fire_due([cue.pk], now=NOW)
    answer = send(api, PAGE.curl("/timeline"), EXECUTION_ID=str(Execution.objects.get().pk))
    assert [entry["kind"] for entry in answer.json()["entries"]][:2] == ["due", "created"]


def test_every_kind_and_every_reason_is_described() -> None:
    assert table("Kind") == [kind.value for kind in Kind]
    assert table("Reason") == [reason.value for reason in WaitFor]


def test_the_stream_is_opened_as_printed(api: Api, settings: Any) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"event_stream_seconds": 0})
    answer = send(api, PAGE.curl("/v1/events").replace("-N ", ""))
    assert answer.getvalue().startswith(b"retry: 2000\nid: ")


def test_every_metric_is_described(api: Api) -> None:
    tally.send()
    answer = send(api, PAGE.curl("/metrics"))
    families = list(text_string_to_metric_families(answer.content.decode()))
    assert set(table("Metric")) == {f.name + ("_total" if f.type == "counter" else "") for f in families}


def test_a_fire_keeps_its_caller_s_trace_as_printed(api: Api) -> None:
    cue = make.recurring(api.account)
    answer = send(api, PAGE.curl("traceparent: "), CUE_ID=cue.pk)
    run = Execution.objects.get(pk=answer.json()["id"])
    assert run.traceparent == "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_the_printed_log_line_has_the_fields_of_a_real_one(api: Api, receiver: Receiver) -> None:
    handler, lines = logging.StreamHandler(), io.StringIO()
    handler.setStream(lines)
    handler.setFormatter(JsonFormatter())
    logging.getLogger().addHandler(handler)
    try:
        cue = make.recurring(api.account, callback_url=receiver.url)
        delivery.drain(Lane.of(make.execution(cue, due_at=clock.now())))
    finally:
        logging.getLogger().removeHandler(handler)
    (real,) = [
        line for text in lines.getvalue().splitlines() if (line := json.loads(text))["logger"] == EXAMPLE["logger"]
    ]
    assert set(EXAMPLE) == set(real)


(TEXT,) = PAGE.blocks("json")
EXAMPLE = json.loads(TEXT)
