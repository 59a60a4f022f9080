"""cues.foresight, over HTTP: the preview of a schedule and of a cue, and what a resume would do."""

import time
from datetime import datetime, timedelta
from typing import Any

import pytest

from cues import lifecycle, services
from cues.models import Cue
from tests.support import make
from tests.support.api import Api
from tests.support.envelope import refused

NY = "America/New_York"

pytestmark = pytest.mark.django_db


def test_a_schedule_is_previewed_before_a_cue_has_it(api: Api) -> None:
    schedule = {"cron": "30 2 * * *", "timezone": NY}
    body = {"schedule": schedule, "from": "2027-03-13T12:00:00Z", "count": 2}
    found = api.post("/v1/schedules/preview", body).json()
    assert found["description"] == f"At 02:30, in {NY}"
    assert [due["due_at"] for due in found["next"]] == ["2027-03-14T07:00:00Z", "2027-03-15T06:30:00Z"]
    assert found["next"][0]["local"] == "2027-03-14T03:00:00-04:00"
    assert found["next"][0]["note"] == found["clock_changes"][0]["sentence"]
    assert found["next"][1]["note"] is None
    assert [due["due_at"] for due in found["previous"]] == ["2027-03-13T07:30:00Z", "2027-03-12T07:30:00Z"]
    assert Cue.objects.count() == 0


def test_the_flat_form_and_a_one_shot_are_previewed_too(api: Api) -> None:
    flat = api.post("/v1/schedules/preview", {"cron": "0 9 * * *", "timezone": "Asia/Tokyo", "count": 1}).json()
    assert flat["next"][0]["local"].endswith("T09:00:00+09:00")
    once = api.post("/v1/schedules/preview", {"schedule": {"at": "2031-05-04T09:00:00Z"}}).json()
    assert [due["due_at"] for due in once["next"]] == ["2031-05-04T09:00:00Z"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "validation_error"),
        ({"schedule": None}, 400, "invalid_schedule"),
        ({"schedule": {"cron": "61 * * * *"}}, 400, "invalid_schedule"),
        ({"schedule": {"cron": "0 0 30 2 *"}}, 400, "invalid_schedule"),
        ({"schedule": {"every": "10s"}}, 400, "invalid_schedule"),
        ({"schedule": {"every": "1h", "cron": "* * * * *"}}, 400, "invalid_schedule"),
        ({"schedule": {"cron": "* * * * *", "anchor": "2031-01-01T00:00:00Z"}}, 400, "invalid_schedule"),
        ({"schedule": {"cron": "* * * * *", "starts_at": "soon"}}, 400, "invalid_schedule"),
        (
            {"schedule": {"cron": "* * * * *", "starts_at": "2032-01-01", "ends_at": "2031-01-01T00:00:00Z"}},
            400,
            "invalid_schedule",
        ),
        (
            {
                "schedule": {
                    "cron": "* * * * *",
                    "starts_at": "2032-01-01T00:00:00Z",
                    "ends_at": "2031-01-01T00:00:00Z",
                }
            },
            400,
            "invalid_schedule",
        ),
        ({"schedule": {"cron": "* * * * *", "ends_at": "2001-01-01T00:00:00Z"}}, 400, "invalid_schedule"),
        ({"schedule": {"at": "2031-01-01T00:00:00Z", "overlap": "skip"}}, 400, "invalid_schedule"),
        ({"schedule": {"cron": "* * * * *", "timezone": "Mars"}}, 422, "invalid_timezone"),
        ({"schedule": {"cron": "* * * * *", "dst": "maybe"}}, 422, "validation_error"),
        ({"schedule": {"cron": "* * * * *", "jitter_seconds": -1}}, 422, "validation_error"),
        ({"schedule": {"cron": "* * * * *", "max_runs": 0}}, 422, "validation_error"),
        ({"schedule": {"cron": "* * * * *"}, "from": "later"}, 422, "validation_error"),
        ({"schedule": {"cron": "* * * * *"}, "count": 0}, 422, "validation_error"),
        ({"schedule": {"cron": "* * * * *"}, "count": 101}, 422, "validation_error"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused_as_on_create(api: Api, body: Any, status: int, code: str) -> None:
    answer = api.post("/v1/schedules/preview", body)
    refused(answer, status, code)
    if set(body) == {"schedule"}:
        on_create = api.post("/v1/cues", make.body(**body)).json()
        assert answer.json()["error"] == on_create["error"]


def test_a_cue_runs_at_the_times_that_its_preview_gave(api: Api) -> None:
    schedule = {"cron": "*/10 * * * *", "jitter_seconds": 300}
    cue = api.post("/v1/cues", make.body(schedule=schedule)).json()
    found = api.get(f"/v1/cues/{cue['id']}/preview").json()
    assert found["next"][0]["due_at"] == cue["next_run"]
    stored = Cue.objects.get()
    for due in found["next"]:
        assert stored.next_run == datetime.fromisoformat(due["due_at"])
        stored.next_run = stored.timetable.next(stored.next_run)
    assert "up to 5 minutes later" in found["description"]


def test_the_preview_of_a_cue_ends_with_its_limits(api: Api) -> None:
    schedule = {"cron": "0 9 * * *", "max_runs": 3, "overlap": "skip"}
    cue = api.post("/v1/cues", make.body(schedule=schedule)).json()["id"]
    found = api.get(f"/v1/cues/{cue}/preview", count=10).json()
    assert len(found["next"]) == 3
    assert "max_runs of 3" in found["message"]
    assert found["description"].endswith("at most 3 times, not while an earlier run has not ended")


def test_a_paused_cue_shows_what_it_would_do_and_a_finished_one_nothing(api: Api) -> None:
    paused = make.recurring(api.account, status="paused", next_run=None)
    finished = make.recurring(api.account, status="completed", next_run=None)
    assert len(api.get(f"/v1/cues/{paused.pk}/preview").json()["next"]) == 10
    told = api.get(f"/v1/cues/{finished.pk}/preview").json()
    assert (told["status"], told["next"]) == ("completed", [])
    assert "new schedule" in told["message"]


@pytest.mark.parametrize("query", [{"count": "0"}, {"count": "x"}, {"from": "yesterday"}, {"from": ""}])
def test_a_preview_query_that_cannot_be_read_is_refused(api: Api, query: dict[str, str]) -> None:
    answer = api.get(f"/v1/cues/{make.recurring(api.account).pk}/preview", **query)
    assert answer.status_code == (200 if query == {"from": ""} else 422)


def test_max_runs_count_from_now_wherever_the_preview_looks_from(api: Api) -> None:
    cue = api.post("/v1/cues", make.body(schedule={"cron": "0 9 1 1 *", "max_runs": 3})).json()
    year = datetime.fromisoformat(cue["next_run"]).year

    def years(start: str) -> list[int]:
        found = api.get(f"/v1/cues/{cue['id']}/preview", **{"from": start}).json()
        return [datetime.fromisoformat(due["due_at"]).year for due in found["next"]]

    assert years(f"{year - 4}-06-01T00:00:00Z") == [year - 3, year - 2, year - 1, year, year + 1, year + 2]
    assert years(f"{year}-06-01T00:00:00Z") == [year + 1, year + 2]
    assert years(f"{year + 2}-06-01T00:00:00Z") == []
    assert years("2990-01-01T00:00:00Z") == []


def test_what_a_preview_does_not_know_is_named(api: Api) -> None:
    body = {"name": "digest", "schedule": {"cron": "0 9 * * *", "jitter": 30}, "cuont": 3}
    told = api.post("/v1/schedules/preview", body).json()["message"]
    assert told == (
        "Unknown fields were ignored: schedule.jitter (did you mean schedule.jitter_seconds?), "
        "cuont (did you mean count?)."
    )


def test_the_jitter_of_a_schedule_is_told_but_is_each_cues_own(api: Api) -> None:
    told = api.post("/v1/schedules/preview", {"schedule": {"cron": "0 9 * * *", "jitter_seconds": 90}}).json()
    assert told["description"] == "At 09:00, in UTC, each up to 1 minute 30 seconds later"
    assert {due["jitter_seconds"] for due in told["next"]} == {0}
    assert "Each cue has its own jitter" in told["message"]


def test_the_preview_of_a_cue_tells_its_own_jitter(api: Api) -> None:
    cue = api.post("/v1/cues", make.body(schedule={"cron": "0 9 * * *", "jitter_seconds": 90})).json()["id"]
    for due in api.get(f"/v1/cues/{cue}/preview").json()["next"]:
        slot = datetime.fromisoformat(due["due_at"]) - timedelta(seconds=due["jitter_seconds"])
        assert f"{slot:%H:%M:%S}" == "09:00:00"


def test_a_paused_one_shot_tells_what_becomes_of_it(api: Api) -> None:
    past = datetime.fromisoformat("2026-01-01T00:00:00Z")
    cue = make.cue(api.account, at=past, next_run=None, status="paused")
    path = f"/v1/cues/{cue.pk}/preview"
    assert api.get(path).json()["message"].endswith("it runs when it is resumed.")
    Cue.objects.update(catch_up="skip_missed")
    assert api.get(path).json()["message"].endswith("it cannot be resumed without a new time.")
    Cue.objects.update(at=datetime.fromisoformat("2090-01-01T00:00:00Z"))
    told = api.get(path).json()
    assert told["message"] == "The cue is paused: this is what it does once it is resumed."
    assert [due["due_at"] for due in told["next"]] == ["2090-01-01T00:00:00Z"]


@pytest.mark.parametrize("start", ["1970-01-01T00:00:00Z", "9000-12-31T23:59:59Z"])
@pytest.mark.parametrize(
    "schedule",
    [
        {"cron": "0 0 29 2 *", "max_runs": 5, "jitter_seconds": 86_400},
        {"cron": "* * * * *", "max_runs": 2_000_000_000},
        {"every": "366d", "anchor": "9000-01-01T00:00:00Z"},
        {"every": "1m", "anchor": "1970-01-01T00:00:00Z", "max_runs": 1},
        {"cron": "30 2 * * *", "timezone": NY, "dst": "skip", "starts_at": "9000-12-31T00:00:00Z"},
    ],
)
def test_the_ends_of_time_are_previewed_quickly(api: Api, schedule: dict[str, Any], start: str) -> None:
    began = time.process_time()
    answer = api.post("/v1/schedules/preview", {"schedule": schedule, "from": start, "count": 100})
    assert answer.status_code == 200
    assert time.process_time() - began < 3


# --- Before a resume --------------------------------------------------------------------------------------------


def test_a_dry_run_tells_what_a_resume_would_do_and_does_nothing(api: Api) -> None:
    past = datetime.fromisoformat("2026-01-01T00:00:00Z")
    cue = make.recurring(api.account, next_run=past + timedelta(minutes=5), created_at=past)
    lifecycle.pause([cue], now=past)
    told = api.post(f"/v1/cues/{cue.pk}/resume", {"dry_run": True}).json()
    assert (told["dry_run"], told["status"], told["windows_caught_up"]) == (True, "paused", 0)
    assert told["windows_passed"] > 1000
    assert "none of them is caught up" in told["message"]
    assert Cue.objects.get().status == "paused"
    assert api.post(f"/v1/cues/{cue.pk}/resume").json()["status"] == "active"


def test_a_dry_run_of_a_one_shot_tells_that_it_would_run_now(api: Api) -> None:
    past = datetime.fromisoformat("2026-01-01T00:00:00Z")
    cue = make.cue(api.account, at=past, next_run=past, created_at=past - timedelta(days=1))
    services.update(cue.account, cue.pk, {"status": "paused"}, now=past - timedelta(hours=1))
    told = api.post(f"/v1/cues/{cue.pk}/resume", {"dry_run": True}).json()
    assert (told["windows_passed"], told["windows_caught_up"]) == (1, 1)
    assert "runs at once" in told["message"]
    Cue.objects.update(catch_up="skip_missed")
    refused(api.post(f"/v1/cues/{cue.pk}/resume", {"dry_run": True}), 400, "invalid_schedule")


def test_a_dry_run_of_an_active_cue_says_that_there_is_nothing_to_resume(api: Api) -> None:
    told = api.post(f"/v1/cues/{make.recurring(api.account).pk}/resume", {"dry_run": True}).json()
    assert "nothing to resume" in told["message"]


@pytest.mark.parametrize(
    "body", [{"dryrun": True}, {"dry_runs": True}, {"Dry_Run": True}, {"dry_run": "true"}, {"dry-run": 1}]
)
def test_a_misspelt_dry_run_resumes_nothing(api: Api, body: dict[str, Any]) -> None:
    cue = make.recurring(api.account, status="paused", next_run=None)
    refused(api.post(f"/v1/cues/{cue.pk}/resume", body), 422, "validation_error")
    refused(api.post(f"/v1/cues/{cue.pk}/resume?dry_run=true"), 422, "validation_error")
    assert Cue.objects.get().status == "paused"


def test_a_dry_run_tells_the_next_run_that_the_resume_then_sets(api: Api) -> None:
    cue = make.recurring(api.account, cron="0 9 1 1 *", status="paused", next_run=None)
    told = api.post(f"/v1/cues/{cue.pk}/resume", {"dry_run": True}).json()
    assert told["next_run"] == api.post(f"/v1/cues/{cue.pk}/resume", {"dry_run": False}).json()["next_run"]
