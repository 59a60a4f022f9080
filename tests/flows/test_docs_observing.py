"""docs/observing.md, run as printed, and held against what the code knows."""

import re
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cueapi import tally
from executions import firing
from executions.models import Execution
from executions.timeline import Kind, WaitFor
from tests.support import make
from tests.support.api import Api
from tests.support.make import NOW
from tests.support.printed import ROOT, Page, send

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
