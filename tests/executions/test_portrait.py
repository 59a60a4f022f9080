"""All that the page of a cue shows, as data."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from cueapi import clock
from cues.models import Cue, Definition
from executions import portrait
from executions.links import Form, Links
from executions.models import Alert, AlertType
from executions.portrait import Portrait
from executions.states import Status
from tests.executions.test_strip import run_of
from tests.support.admin import alerted, fired, recurring
from tests.support.api import Api

pytestmark = [pytest.mark.django_db, pytest.mark.database]

LINKS = Links(
    "/here",
    "/runs",
    "/failures",
    "/changes",
    lambda pk: f"/run/{pk}",
    lambda pk: f"/cue/{pk}",
    lambda action: Form(f"/do/{action}"),
)


@pytest.fixture
def hooks(resolver: dict[str, list[str]]) -> dict[str, str]:
    resolver["hooks.example.org"] = ["93.184.215.14"]
    return {"url": "https://hooks.example.org/digest"}


@pytest.fixture
def cue(api: Api, hooks: dict[str, str]) -> Cue:
    return recurring(api, "seen", callback=hooks)


def look(cue: Cue, *, now: datetime | None = None, **asked: str) -> Portrait:
    return portrait.read(cue, LINKS, asked=asked, now=now or clock.now())


def in_paris(api: Api, hooks: dict[str, str], cron: str, **schedule: Any) -> Cue:
    zone = {"type": "recurring", "cron": cron, "timezone": "Europe/Paris"}
    return recurring(api, f"paris {cron} {schedule}", callback=hooks, schedule={**zone, **schedule})


SPRING = datetime(2031, 3, 28, 12, tzinfo=UTC)  # clocks go forward on Sunday the 30th
AUTUMN = datetime(2031, 10, 24, 12, tzinfo=UTC)  # and back on Sunday, 26 October


def test_a_time_that_spring_leaves_out_is_marked_where_it_runs_instead(api: Api, hooks: dict[str, str]) -> None:
    future = look(in_paris(api, hooks, "30 2 * * *"), now=SPRING).future
    local = [due.local for due in future.dues]
    assert local[:3] == ["Sat 2031-03-29 02:30:00 CET", "Sun 2031-03-30 03:00:00 CEST", "Mon 2031-03-31 02:30:00 CEST"]
    assert [bool(due.note) for due in future.dues[:3]] == [False, True, False]
    assert "02:30 does not exist" in future.dues[1].note and "runs at 03:00" in future.dues[1].note
    assert len(future.dues) == 10


def test_a_time_that_spring_drops_is_told_below_the_list(api: Api, hooks: dict[str, str]) -> None:
    future = look(in_paris(api, hooks, "30 2 * * *", dst="skip"), now=SPRING).future
    assert "Sun 2031-03-30" not in " ".join(due.local for due in future.dues)
    (told,) = future.changes
    assert "02:30 does not exist" in told and "it does not run" in told


@pytest.mark.parametrize(("dst", "times", "said"), [("default", 1, "the first time only"), ("both", 2, "both times")])
def test_a_time_that_autumn_repeats_is_marked(dst: str, times: int, said: str, api: Api, hooks: dict[str, str]) -> None:
    future = look(in_paris(api, hooks, "30 2 * * *", dst=dst), now=AUTUMN).future
    on_that_day = [due for due in future.dues if "2031-10-26" in due.local]
    assert [due.local[-4:].strip() for due in on_that_day] == ["CEST", "CET"][:times]
    assert all("occurs twice" in due.note and said in due.note for due in on_that_day)
    assert not any(due.note for due in future.dues if due not in on_that_day)


def test_a_schedule_without_clock_changes_has_no_mark(api: Api, hooks: dict[str, str]) -> None:
    future = look(in_paris(api, hooks, "30 2 * * *"), now=datetime(2031, 5, 1, tzinfo=UTC)).future
    assert not any(due.note for due in future.dues) and not future.changes


def test_a_schedule_that_cannot_be_read_says_so_and_the_rest_is_shown(cue: Cue) -> None:
    Cue.objects.filter(pk=cue.pk).update(timezone="Mars/Olympus")
    cue.refresh_from_db()
    seen = look(cue)
    assert "Mars/Olympus" in seen.future.problem and "cannot be read" in seen.words
    assert seen.name == "seen"


def test_the_last_five_failures_and_the_streak_are_told(cue: Cue) -> None:
    now = clock.now()
    run_of(cue, now - timedelta(minutes=9), Status.SUCCESS)
    for age in range(7):
        run_of(cue, now - timedelta(minutes=age), Status.FAILED, error_class="http_5xx", error_message=f"no {age}")
    seen = look(cue)
    assert [run.error for run in seen.failures] == ["no 0", "no 1", "no 2", "no 3", "no 4"]
    assert {run.error_class for run in seen.failures} == {"http_5xx"}
    assert seen.lately.failures == 7
    assert seen.success_rate == "12.5%"


def test_the_newest_alerts_of_all_kinds_are_shown_newest_first(cue: Cue) -> None:
    alerted(fired(cue))
    for age, kind in enumerate((AlertType.MISSED_WINDOW, AlertType.SLOT_AUDIT, AlertType.OUTCOME_TIMEOUT) * 2, start=1):
        created_at = clock.now() - timedelta(hours=age)
        Alert.objects.create(
            account_id=cue.account_id, cue=cue, alert_type=kind, message=f"{age} hours ago", created_at=created_at
        )
    messages = [alert.message for alert in look(cue).alerts]
    assert messages == ["seen failed 3 times in a row", *(f"{age} hours ago" for age in range(1, 5))]


def test_what_the_schedule_was_is_told_newest_first(api: Api, cue: Cue) -> None:
    api.post(f"/v1/cues/{cue.pk}/pause")
    past = look(cue).past
    assert [one.status for one in past] == ["paused", "active"]
    assert past[0].words == "At 09:00, Monday, in Europe/Paris"
    assert Definition.objects.filter(cue=cue).count() == 2


def test_a_question_is_answered_in_utc_and_in_the_zone_of_the_cue(api: Api, cue: Cue) -> None:
    run = fired(cue)
    assert run
    monday = "2031-05-05T09:00"
    local = look(cue, at=monday, zone="cue").question
    assert (local.verdict, local.text) == ("due", "2031-05-05T09:00:00")
    assert look(cue, at=monday).question.verdict == "not_due"
    assert look(cue, at="2031-05-05T07:00:00Z").question.window == local.window


@pytest.mark.parametrize("text", ["yesterday", "2031-99-99T00:00", "\x00", "9" * 500, "<script>"])
def test_a_question_that_is_no_time_is_told_how_to_ask(text: str, cue: Cue) -> None:
    question = look(cue, at=text).question
    assert question.refusal == portrait.NOT_A_TIME and not question.answer


def test_no_question_has_no_answer(cue: Cue) -> None:
    assert look(cue).question == portrait.Question()


def test_an_action_that_the_reader_may_not_do_is_not_offered(cue: Cue) -> None:
    links = Links(
        "/here", "/runs", "/failures", "/changes", str, str, lambda action: Form("/do") if action == "pause" else None
    )
    actions = portrait.read(cue, links, asked={}, now=clock.now()).actions
    assert [action.intention.action for action in actions] == ["pause"]


def test_it_costs_the_same_queries_however_much_there_is(cue: Cue) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            look(cue, at="2031-05-05T09:00")
        return len(captured)

    run_of(cue, clock.now(), Status.FAILED, error_class="dns")
    assert cue.account
    few = queries()
    for age in range(1, 60):
        alerted(run_of(cue, clock.now() - timedelta(minutes=age), Status.FAILED, error_class="dns"))
    assert queries() == few <= 15
