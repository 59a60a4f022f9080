"""Previews: the due times, what clock changes do to them, and what a resume would do."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from cues import lifecycle, services
from cues.cron import parse_cron
from cues.models import Cue
from cues.preview import preview
from cues.rhythm import CronRhythm
from cues.timetable import Timetable
from cues.zones import zone
from tests.support import make
from tests.support.api import Api
from tests.support.envelope import refused

NY = "America/New_York"


def sentences(expression: str, start: str, dst: str = "default", timezone: str = NY) -> list[str]:
    tz = zone(timezone)
    table = Timetable(CronRhythm(parse_cron(expression), tz, dst))
    found = preview(table, tz, start=datetime.fromisoformat(start), count=3)
    return [change.sentence for change in found.changes]


@pytest.mark.parametrize(
    ("dst", "ending"),
    [("default", "it runs at 03:00."), ("skip", "it does not run."), ("both", "it runs at 03:00.")],
)
def test_a_lost_time_is_explained(dst: str, ending: str) -> None:
    assert sentences("30 2 * * *", "2027-03-13T12:00Z", dst) == [
        f"02:30 does not exist on 2027-03-14 in {NY}, because clocks go forward from 02:00 to 03:00: {ending}"
    ]


@pytest.mark.parametrize(
    ("dst", "ending"),
    [("default", "runs the first time only."), ("skip", "runs the first time only."), ("both", "runs both times.")],
)
def test_a_repeated_time_is_explained(dst: str, ending: str) -> None:
    assert sentences("30 1 * * *", "2027-11-06T12:00Z", dst) == [
        f"01:30 occurs twice on 2027-11-07 in {NY}, because clocks go back from 02:00 to 01:00: it {ending}"
    ]


def test_a_change_that_touches_nothing_or_elapsed_time_says_so() -> None:
    assert "no due time of this schedule is touched" in sentences("0 9 * * *", "2027-03-13T12:00Z")[0]
    assert "follows elapsed time" in sentences("*/30 * * * *", "2027-03-14T06:00Z")[0]


def test_a_day_that_is_skipped_whole_is_named() -> None:
    (sentence,) = sentences("0 9 * * *", "2011-12-29T12:00Z", timezone="Pacific/Apia")
    assert sentence.startswith("09:00 does not exist on 2011-12-30 in Pacific/Apia")
    assert sentence.endswith("it runs at 2011-12-31 00:00.")


# --- Over HTTP --------------------------------------------------------------------------------------------------


@pytest.mark.django_db
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


@pytest.mark.django_db
def test_the_flat_form_and_a_one_shot_are_previewed_too(api: Api) -> None:
    flat = api.post("/v1/schedules/preview", {"cron": "0 9 * * *", "timezone": "Asia/Tokyo", "count": 1}).json()
    assert flat["next"][0]["local"].endswith("T09:00:00+09:00")
    once = api.post("/v1/schedules/preview", {"schedule": {"at": "2031-05-04T09:00:00Z"}}).json()
    assert [due["due_at"] for due in once["next"]] == ["2031-05-04T09:00:00Z"]


@pytest.mark.django_db
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
    refused(api.post("/v1/schedules/preview", body), status, code)


@pytest.mark.django_db
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


@pytest.mark.django_db
def test_the_preview_of_a_cue_ends_with_its_limits(api: Api) -> None:
    schedule = {"cron": "0 9 * * *", "max_runs": 3, "overlap": "skip"}
    cue = api.post("/v1/cues", make.body(schedule=schedule)).json()["id"]
    found = api.get(f"/v1/cues/{cue}/preview", count=10).json()
    assert len(found["next"]) == 3
    assert "max_runs of 3" in found["message"]
    assert found["description"].endswith("at most 3 times, not while an earlier run has not ended")


@pytest.mark.django_db
def test_a_paused_cue_shows_what_it_would_do_and_a_finished_one_nothing(api: Api) -> None:
    paused = make.recurring(api.account, status="paused", next_run=None)
    finished = make.recurring(api.account, status="completed", next_run=None)
    assert len(api.get(f"/v1/cues/{paused.pk}/preview").json()["next"]) == 10
    told = api.get(f"/v1/cues/{finished.pk}/preview").json()
    assert (told["status"], told["next"]) == ("completed", [])
    assert "new schedule" in told["message"]


@pytest.mark.django_db
@pytest.mark.parametrize("query", [{"count": "0"}, {"count": "x"}, {"from": "yesterday"}, {"from": ""}])
def test_a_preview_query_that_cannot_be_read_is_refused(api: Api, query: dict[str, str]) -> None:
    answer = api.get(f"/v1/cues/{make.recurring(api.account).pk}/preview", **query)
    assert answer.status_code == (200 if query == {"from": ""} else 422)


# --- Before a resume --------------------------------------------------------------------------------------------


@pytest.mark.django_db
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


@pytest.mark.django_db
def test_a_dry_run_of_a_one_shot_tells_that_it_would_run_now(api: Api) -> None:
    past = datetime.fromisoformat("2026-01-01T00:00:00Z")
    cue = make.cue(api.account, at=past, next_run=past, created_at=past - timedelta(days=1))
    services.update(cue.account, cue.pk, {"status": "paused"}, now=past - timedelta(hours=1))
    told = api.post(f"/v1/cues/{cue.pk}/resume", {"dry_run": True}).json()
    assert (told["windows_passed"], told["windows_caught_up"]) == (1, 1)
    assert "runs at once" in told["message"]
    Cue.objects.update(catch_up="skip_missed")
    refused(api.post(f"/v1/cues/{cue.pk}/resume", {"dry_run": True}), 400, "invalid_schedule")


@pytest.mark.django_db
def test_a_dry_run_of_an_active_cue_says_that_there_is_nothing_to_resume(api: Api) -> None:
    told = api.post(f"/v1/cues/{make.recurring(api.account).pk}/resume", {"dry_run": True}).json()
    assert "nothing to resume" in told["message"]
