"""Why a cue did or did not run: each answer there is, in a sentence with its facts; and the ledger over HTTP."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from cues import lifecycle, services
from cues.models import Cue, LedgerEntry
from executions import closing, explain, firing, purging
from executions.explain import Explanation
from executions.models import Execution
from executions.states import Status
from tests.support import make
from tests.support.api import Api
from tests.support.envelope import refused
from tests.support.make import NOW
from tests.support.old import DAY, keep

pytestmark = [pytest.mark.django_db, pytest.mark.database]

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture
def cue(api: Api) -> Cue:
    """Due every five minutes, from NOW on."""
    return make.recurring(api.account, created_at=NOW - 10 * MINUTE)


def why(cue: Cue, at: datetime = NOW, now: datetime = NOW + HOUR) -> Explanation:
    return explain.explain(Cue.objects.get(pk=cue.pk), at, now=now)


def fire(cue: Cue, at: datetime = NOW) -> None:
    firing.fire_due([cue.pk], now=at)


# --- What the ledger tells --------------------------------------------------------------------------------------


def test_a_run_is_told_with_its_execution_and_its_end(cue: Cue) -> None:
    fire(cue, NOW + 2 * SECOND)
    execution = Execution.objects.get()
    told = why(cue)
    assert (told.verdict, told.window) == ("ran", NOW)
    assert told.sentence == f"It was due and ran as execution {execution.pk}, which is pending after 0 attempts."
    assert told.facts["late_by_seconds"] == 2
    closing.close(execution, Status.FAILED, reason="a test", now=NOW, error_message="HTTP 500.")
    assert why(cue).sentence.endswith("which ended in failed after 0 attempts: HTTP 500.")


@pytest.mark.parametrize("second", [0, 1, 59.9])
def test_any_instant_of_the_minute_asks_about_its_window(cue: Cue, second: float) -> None:
    fire(cue)
    assert why(cue, NOW + timedelta(seconds=second)).window == NOW


def test_a_run_whose_execution_is_not_stored_any_more_is_told_too(cue: Cue) -> None:
    fire(cue)
    Execution.objects.all().delete()
    assert "no longer stored" in why(cue).sentence


@pytest.mark.parametrize(
    ("catch_up", "verdict", "words"),
    [("run_once_if_missed", "caught_up", "seen 2 minutes late and caught up"), ("skip_missed", "missed", "catch_up")],
)
def test_a_window_seen_too_late_is_told_by_what_became_of_it(cue: Cue, catch_up: str, verdict: str, words: str) -> None:
    Cue.objects.update(catch_up=catch_up)
    fire(cue, NOW + 2 * MINUTE)
    told = why(cue)
    assert told.verdict == verdict
    assert words in told.sentence


def test_an_overlap_names_what_was_in_the_way(cue: Cue) -> None:
    before = make.execution(cue, scheduled_for=NOW - MINUTE)
    Cue.objects.update(overlap="skip")
    fire(cue)
    assert str(before.pk) in why(cue).sentence
    Cue.objects.update(overlap="queue")
    fire(cue, NOW + 5 * MINUTE)
    held = why(cue, NOW + 5 * MINUTE)
    assert (held.verdict, held.facts["held"]) == ("queued", True)
    assert "waits for the executions before it" in held.sentence


def test_a_pause_is_told_while_it_lasts_and_afterwards(cue: Cue) -> None:
    lifecycle.pause([cue], now=NOW - MINUTE)
    assert why(cue).verdict == "skipped_paused"
    assert why(cue).sentence == "It does not run, because the cue is paused since 2031-05-04T08:59:00Z."
    assert why(cue, NOW + MINUTE).verdict == "not_active"
    lifecycle.resume(Cue.objects.get(), now=NOW + 11 * MINUTE)
    told = why(cue, NOW + 5 * MINUTE)
    assert (told.verdict, told.facts["windows"]) == ("skipped_paused", 3)
    assert told.sentence == "It was skipped, because the cue was paused, from 2031-05-04T08:59:00Z on."


def test_a_limit_and_a_change_are_told(cue: Cue) -> None:
    Cue.objects.update(max_runs=1, catch_up="replay_all_missed")
    fire(cue, NOW + 5 * MINUTE)
    assert "max_runs" in why(cue, NOW + 5 * MINUTE).sentence
    assert why(cue, NOW + 10 * MINUTE).sentence == (
        "Nothing is due then, because the cue is completed since 2031-05-04T09:05:00Z."
    )
    other = make.recurring(cue.account)
    services.update(other.account, other.pk, {"schedule": {"cron": "0 * * * *"}}, now=NOW + MINUTE)
    assert "schedule was changed" in why(other).sentence


def test_what_retention_removed_is_told_as_such(cue: Cue, settings: Any) -> None:
    fire(cue)
    services.update(cue.account, cue.pk, {"schedule": {"cron": "0 * * * *"}}, now=NOW + MINUTE)
    keep(settings, ledger=2)
    later = NOW + 3 * DAY
    purging.purge(now=later)
    assert why(cue, NOW, later).sentence == (
        "It is too long ago: verdicts and past definitions are kept from 2031-05-05T09:00:00Z on "
        "(RETENTION_LEDGER_DAYS)."
    )
    for at in (NOW, NOW + 2 * MINUTE, NOW + HOUR):
        told = why(cue, at, later)
        assert (told.verdict, told.facts) == ("unknown", {"known_from": "2031-05-05T09:00:00Z"})
    assert why(cue, NOW - HOUR, later).sentence.startswith("The cue's history starts at")
    assert why(cue, NOW + DAY, later).verdict == "waiting"


# --- What it does not tell --------------------------------------------------------------------------------------


def test_a_time_at_which_nothing_is_due_tells_the_times_around_it(cue: Cue) -> None:
    told = why(cue, NOW + 2 * MINUTE)
    assert told.verdict == "not_due"
    assert told.sentence == (
        "“*/5 * * * *” is not due at 2031-05-04 09:02 in UTC: the one before due time is 2031-05-04T09:00:00Z, "
        "the next due time is 2031-05-04T09:05:00Z."
    )


def test_a_time_that_the_clocks_jumped_over_is_explained(api: Api) -> None:
    start = datetime.fromisoformat("2027-03-10T12:00:00Z")
    zone = {"timezone": "America/New_York", "dst": "skip"}
    cue = make.recurring(api.account, "30 2 * * *", next_run=start, created_at=start, **zone)
    told = why(cue, datetime.fromisoformat("2027-03-14T07:00:00Z"), now=start)
    assert told.verdict == "not_due"
    assert "02:30 does not exist on 2027-03-14 in America/New_York" in told.sentence


@pytest.mark.parametrize("columns", [{"starts_at": NOW + HOUR}, {"ends_at": NOW - HOUR}])
def test_a_time_out_of_bounds_names_the_bound(api: Api, columns: dict[str, Any]) -> None:
    cue = make.recurring(api.account, created_at=NOW - 2 * HOUR, **columns)
    told = why(cue)
    assert told.verdict == "out_of_bounds"
    assert next(iter(columns)) in told.sentence


def test_a_window_to_come_one_that_waits_and_one_that_is_lost(cue: Cue) -> None:
    assert why(cue, NOW, now=NOW - MINUTE).sentence == "It is due in 60 seconds, at 2031-05-04T09:00:00Z."
    assert why(cue, NOW, now=NOW + 5 * SECOND).verdict == "waiting"
    assert "/health" in why(cue, NOW, now=NOW + MINUTE).sentence
    fire(cue)
    LedgerEntry.objects.all().delete()
    assert "audit_slots" in why(cue).sentence


def test_before_the_cue_was_made_nothing_is_known(cue: Cue) -> None:
    told = why(cue, NOW - HOUR)
    assert (told.verdict, told.facts) == ("unknown", {"known_from": "2031-05-04T08:50:00Z"})


def test_a_one_shot_is_explained_at_its_time_and_at_others(api: Api) -> None:
    cue = make.cue(api.account, created_at=NOW - HOUR)
    assert why(cue, NOW - MINUTE, now=NOW - MINUTE).sentence.startswith("This one-shot is due at")
    fire(cue)
    assert why(cue).verdict == "ran"
    at_once = make.cue(api.account)
    fire(at_once)
    assert why(at_once).verdict == "ran"


def test_a_schedule_that_cannot_be_read_is_told_and_nothing_breaks(cue: Cue) -> None:
    cue.definitions.update(timezone="Mars/Olympus")
    assert "cannot be read" in why(cue).sentence


def test_a_window_with_jitter_is_found_by_its_time_before_and_after(api: Api) -> None:
    cue = make.recurring(api.account, jitter_s=200, created_at=NOW - HOUR, next_run=None)
    due_at = cue.timetable.next(NOW - MINUTE)
    assert why(cue, due_at, now=NOW - HOUR).window == due_at
    assert why(cue, due_at.replace(second=0), now=NOW - HOUR).window == due_at


# --- Over HTTP --------------------------------------------------------------------------------------------------


def test_the_ledger_lists_windows_newest_first(api: Api, cue: Cue) -> None:
    Cue.objects.update(catch_up="skip_missed")
    fire(cue)
    fire(cue, NOW + 20 * MINUTE)
    execution = Execution.objects.order_by("scheduled_for").first()
    found = api.get(f"/v1/cues/{cue.pk}/ledger").json()
    assert [(entry["window"][11:16], entry["verdict"], entry["windows"]) for entry in found["entries"]] == [
        ("09:20", "ran", 1),
        ("09:05", "missed", 3),
        ("09:00", "ran", 1),
    ]
    assert found["entries"][2]["execution_id"] == str(execution.pk)
    assert found["entries"][2]["execution_status"] == "pending"
    assert found["entries"][1] == {
        "window": "2031-05-04T09:05:00Z",
        "until": "2031-05-04T09:15:00Z",
        "windows": 3,
        "verdict": "missed",
        "execution_id": None,
        "execution_status": None,
    }
    assert (found["total"], found["limit"], found["offset"]) == (3, 50, 0)


def test_the_ledger_is_filtered_and_paged(api: Api, cue: Cue) -> None:
    for window in range(5):
        fire(cue, NOW + window * 5 * MINUTE)
    path = f"/v1/cues/{cue.pk}/ledger"
    bounds = {"from": "2031-05-04T09:05:00Z", "to": "2031-05-04T09:15"}  # without an offset: the cue's zone
    assert api.get(path, **bounds).json()["total"] == 3
    assert api.get(path, verdict="missed").json()["entries"] == []
    (entry,) = api.get(path, limit="1", offset="1").json()["entries"]
    assert entry["window"] == "2031-05-04T09:15:00Z"


def test_the_ledger_tells_what_a_pause_lets_pass_before_it_ends(api: Api) -> None:
    past = datetime.fromisoformat("2026-01-01T00:00:00Z")
    cue = make.recurring(api.account, next_run=past + 5 * MINUTE, created_at=past)
    lifecycle.pause([cue], now=past)
    unsettled = api.get(f"/v1/cues/{cue.pk}/ledger").json()["unsettled"]
    assert (unsettled["window"], unsettled["reason"]) == ("2026-01-01T00:05:00Z", "paused")
    assert unsettled["windows"] > 1000


@pytest.mark.parametrize("query", [{"verdict": "vanished"}, {"from": "then"}, {"to": "2031"}, {"limit": "0"}])
def test_a_ledger_query_that_cannot_be_read_is_refused(api: Api, cue: Cue, query: dict[str, str]) -> None:
    error = refused(api.get(f"/v1/cues/{cue.pk}/ledger", **query), 422, "validation_error")
    assert next(iter(query)) in str(error)


@pytest.mark.parametrize("query", [{}, {"at": ""}, {"at": "nine"}])
def test_explain_wants_a_time(api: Api, cue: Cue, query: dict[str, str]) -> None:
    refused(api.get(f"/v1/cues/{cue.pk}/explain", **query), 422, "validation_error")


def test_explain_answers_over_http(api: Api, cue: Cue) -> None:
    fire(cue)
    told = api.get(f"/v1/cues/{cue.pk}/explain", at="2031-05-04T09:00").json()
    assert told.keys() == {"at", "window", "verdict", "sentence", "facts"}
    assert (told["verdict"], told["window"]) == ("ran", "2031-05-04T09:00:00Z")
