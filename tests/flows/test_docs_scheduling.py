"""docs/scheduling.md, run as printed."""

import json
import re
from datetime import UTC, datetime
from itertools import takewhile
from zoneinfo import ZoneInfo

import pytest

from cueapi.errors import InvalidSchedule
from cues.cron import parse_cron
from tests.support import make
from tests.support.api import Api
from tests.support.printed import ROOT, Page, send
from tests.support.schedules import at, table

PAGE = Page("docs/scheduling.md")
TEXT = (ROOT / PAGE.path).read_text()
NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.django_db(transaction=True)
def test_an_interval_with_bounds_and_jitter_is_created(api: Api) -> None:
    made = send(api, PAGE.curl("poll-inbox"))
    assert made.status_code == 201
    assert made.json()["schedule"]["every"] == "1h30m"
    assert made.json()["warning"] is None
    first = datetime.fromisoformat(made.json()["next_run"])
    assert 0 <= (first - datetime(2031, 5, 4, 12, tzinfo=UTC)).total_seconds() <= 30


@pytest.mark.django_db
def test_the_preview_is_answered_as_printed(api: Api) -> None:
    (printed,) = (json.loads(block) for block in PAGE.blocks("json"))
    assert send(api, PAGE.curl("/v1/schedules/preview")).json() == printed


@pytest.mark.django_db
def test_a_cue_is_previewed_and_its_resume_is_tried(api: Api) -> None:
    cue = make.recurring(api.account, status="paused", next_run=None)
    preview = send(api, PAGE.curl("/preview?count=5"), CUE_ID=cue.pk).json()
    assert (len(preview["next"]), preview["status"]) == (5, "paused")
    assert send(api, PAGE.curl("/resume"), CUE_ID=cue.pk).json()["dry_run"] is True


def test_each_expression_of_the_page_can_be_read() -> None:
    expressions = re.findall(r"`((?:[\d*/,A-Za-z-]+ ){4}[\d*/,A-Za-z-]+|@\w+)`", TEXT)
    assert len(set(expressions)) > 15
    for expression in expressions:
        parse_cron(expression)


@pytest.mark.parametrize("word", ["L", "W", "#", "?", "H"])
def test_what_is_said_to_be_refused_is_refused(word: str) -> None:
    assert f"`{word}`" in TEXT
    with pytest.raises(InvalidSchedule):
        parse_cron(f"0 0 {word} * {word}")


@pytest.mark.parametrize(
    ("expression", "day", "dst", "local"),
    [
        ("30 2 * * *", "2027-03-14", "default", ["03:00"]),
        ("30 2 * * *", "2027-03-14", "skip", []),
        ("30 2 * * *", "2027-11-07", "default", ["02:30"]),
        ("0,30 2 * * *", "2027-03-14", "default", ["03:00"]),
        ("0,30 2 * * *", "2027-11-07", "default", ["02:00", "02:30"]),
        ("30 1 * * *", "2027-03-14", "default", ["01:30"]),
        ("30 1 * * *", "2027-11-07", "default", ["01:30"]),
        ("30 1 * * *", "2027-11-07", "both", ["01:30", "01:30"]),
    ],
)
def test_the_table_of_new_york_is_true(expression: str, day: str, dst: str, local: list[str]) -> None:
    assert f"`{expression}`" in TEXT
    runs = table(expression, "America/New_York", dst).onward(at(f"{day}T04:30"))
    on_the_day = takewhile(lambda run: run < at(f"{day}T12:00"), runs)
    assert [f"{run.astimezone(NEW_YORK):%H:%M}" for run in on_the_day] == local


def test_the_links_of_the_page_lead_somewhere() -> None:
    assert "## Runs that overlap" in (ROOT / "docs/ledger.md").read_text()
