"""What each field of create and patch means: defaults, merging, null, and when the cue runs (contract 3.2 to 3.5)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cueapi import clock
from cues.models import Cue
from tests.support import envelope, make
from tests.support.api import Api
from tests.support.make import NOWHERE

pytestmark = [pytest.mark.django_db, pytest.mark.database]

AT = "2040-01-01T00:00:00Z"
ONCE = {"type": "once", "at": AT}
CRON = {"type": "recurring", "cron": "15 2 * * *", "timezone": "Asia/Tokyo"}
PAST = datetime(2024, 1, 1, tzinfo=UTC)


def create(api: Api, **fields: Any) -> dict[str, Any]:
    answer = api.post("/v1/cues", make.body(**fields))
    assert answer.status_code == 201, answer.content
    return answer.json()


def patch(api: Api, cue: dict[str, Any], **body: Any) -> dict[str, Any]:
    answer = api.patch(f"/v1/cues/{cue['id']}", body)
    assert answer.status_code == 200, answer.content
    return answer.json()


def refused(api: Api, cue: dict[str, Any], **body: Any) -> tuple[int, str]:
    answer = api.patch(f"/v1/cues/{cue['id']}", body)
    return answer.status_code, answer.json()["error"]["code"]


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


# --- Create -----------------------------------------------------------------------------------------------------

DEFAULTS = {
    "description": None,
    "status": "active",
    "transport": "webhook",
    "callback": {"url": NOWHERE, "method": "POST", "headers": {}},
    "payload": {},
    "retry": {"max_attempts": 3, "backoff_minutes": [1, 5, 15]},
    "last_run": None,
    "run_count": 0,
    "fired_count": 0,
    "on_failure": {"email": True, "webhook": None, "pause": False},
    "delivery": None,
    "alerts": None,
    "catch_up": "run_once_if_missed",
    "verification": None,
    "on_success_fire": None,
    "require_payload_override": False,
    "required_payload_keys": None,
    "warning": None,
}
NULLABLE = ["payload", "retry", "on_failure", "verification", "delivery", "alerts", "catch_up", "description"]


def test_what_is_absent_or_null_has_its_default(api: Api) -> None:
    for cue in (create(api), create(api, name="null", **dict.fromkeys(NULLABLE))):
        assert {name: cue[name] for name in DEFAULTS} == DEFAULTS


def test_what_is_given_is_kept(api: Api) -> None:
    fields = {
        "description": "why",
        "schedule": CRON,
        "callback": {"url": "http://127.0.0.1:9/A%20b?c=d", "method": "PUT", "headers": {"X-Team": "ops"}},
        "payload": {"task": "digest", "nested": {"z": [1, 2.5, None]}},
        "retry": {"max_attempts": 10, "backoff_minutes": [0, 1440], "jitter": 0.25},
        "on_failure": {"email": False, "webhook": "http://127.0.0.1:9/failed", "pause": True},
        "delivery": {"timeout_seconds": 60, "outcome_deadline_seconds": 3600, "rate_per_minute": 60_000},
        "alerts": {"consecutive_failures": 5, "missed_window_multiplier": 10, "grace_seconds": 60},
        "catch_up": "skip_missed",
        "verification": {"mode": "manual", "required_assertions": ["done"]},
        "require_payload_override": True,
        "required_payload_keys": ["task"],
    }
    cue = create(api, **fields)
    assert {name: cue[name] for name in fields} == fields
    assert api.get(f"/v1/cues/{cue['id']}").json()["callback"] == fields["callback"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"retry": {"max_attempts": 7}}, {"retry": {"max_attempts": 7, "backoff_minutes": [1, 5, 15]}}),
        ({"retry": {"jitter": 0}}, {"retry": {"max_attempts": 3, "backoff_minutes": [1, 5, 15]}}),
        ({"retry": {"jitter": 1}}, {"retry": {"max_attempts": 3, "backoff_minutes": [1, 5, 15], "jitter": 1.0}}),
        ({"on_failure": {"pause": True}}, {"on_failure": {"email": True, "webhook": None, "pause": True}}),
        ({"delivery": {}}, {"delivery": {"timeout_seconds": 30, "outcome_deadline_seconds": 300}}),
        ({"delivery": {"rate_per_minute": 1}}, {"delivery": {"rate_per_minute": 1}}),
        ({"delivery": {"rate_per_minute": None}}, {"delivery": None}),
        ({"alerts": {}}, {"alerts": {"consecutive_failures": 3, "missed_window_multiplier": 2}}),
        ({"verification": {}}, {"verification": {"mode": "none", "required_assertions": None}}),
        ({"catch_up": "replay_all"}, {"catch_up": "replay_all_missed"}),
    ],
)
def test_missing_keys_of_a_part_have_their_defaults(api: Api, given: dict, expected: dict) -> None:
    assert create(api, **given).items() >= expected.items()


def test_a_worker_cue_needs_no_callback_and_keeps_one(api: Api) -> None:
    bare = create(api, name="bare", transport="worker", callback=None)
    assert bare["callback"] == {"url": None, "method": "POST", "headers": {}}
    assert create(api, transport="worker")["callback"]["url"] == NOWHERE


def test_the_flat_form_is_folded_in_and_nested_values_win(api: Api) -> None:
    flat = {"name": "flat", "cron": "0 9 * * *", "timezone": "Asia/Tokyo", "callback_url": NOWHERE}
    cue = api.post("/v1/cues", flat).json()
    assert cue["schedule"] == {"type": "recurring", "cron": "0 9 * * *", "timezone": "Asia/Tokyo"}
    assert cue["callback"]["url"] == NOWHERE
    assert api.post("/v1/cues", {"name": "pull", "at": AT, "worker": True}).json()["transport"] == "worker"
    assert create(api, cron="1 1 1 1 *", callback_url="http://10.0.0.1/")["schedule"]["cron"] == "*/5 * * * *"


# --- One-shots --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["one-time", "one_time"])
@pytest.mark.parametrize("at", [{}, {"at": None}, {"at": "2024-01-01T00:00:00Z"}])
def test_a_lenient_one_shot_without_a_future_time_runs_now(api: Api, kind: str, at: dict) -> None:
    before = clock.now()
    cue = create(api, schedule={"type": kind, **at})
    assert before <= instant(cue["next_run"]) <= clock.now()
    assert cue["schedule"] == {"type": "once", "at": cue["next_run"], "timezone": "UTC"}
    assert (cue["warning"] is not None) == bool(at.get("at"))


@pytest.mark.parametrize("at", [{}, {"at": None}, {"at": ""}, {"at": "2024-01-01T00:00:00Z"}, {"at": "soon"}])
def test_a_strict_one_shot_needs_a_future_time(api: Api, at: dict) -> None:
    answer = api.post("/v1/cues", make.body(schedule={"type": "once", **at}))
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_schedule")


def test_a_time_without_offset_is_read_in_the_schedules_zone(api: Api) -> None:
    cue = create(api, schedule={"type": "once", "at": "2040-01-01T09:00:00", "timezone": "Asia/Tokyo"})
    assert (cue["next_run"], cue["schedule"]["at"]) == (AT, AT)


@pytest.mark.parametrize(
    "schedule",
    [
        None,
        {},
        {"type": "sometimes", "at": AT},
        {"type": "recurring"},
        {"type": "recurring", "cron": ""},
        {"cron": "* * * * * *"},
        {"cron": "0 0 30 2 *"},
        {"cron": "nonsense"},
        {"cron": "0 " * 60},
    ],
)
def test_a_schedule_that_never_comes_due_is_refused(api: Api, schedule: Any) -> None:
    answer = api.post("/v1/cues", make.body(schedule=schedule))
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_schedule")


# --- Patch ------------------------------------------------------------------------------------------------------


def test_a_cron_alone_keeps_the_zone(api: Api) -> None:
    cue = patch(api, create(api, schedule=CRON), schedule={"type": "recurring", "cron": "0 9 * * *"})
    assert cue["schedule"] == {"type": "recurring", "cron": "0 9 * * *", "timezone": "Asia/Tokyo"}
    assert instant(cue["next_run"]).hour == 0
    assert patch(api, cue, schedule={"timezone": "UTC"})["schedule"]["cron"] == "0 9 * * *"


def test_a_url_alone_keeps_method_and_headers(api: Api) -> None:
    cue = create(api, callback={"url": NOWHERE, "method": "PUT", "headers": {"A": "b"}})
    changed = patch(api, cue, callback={"url": "http://127.0.0.1:8/new"})
    assert changed["callback"] == {"url": "http://127.0.0.1:8/new", "method": "PUT", "headers": {"A": "b"}}
    assert Cue.objects.get().lane.endswith(":8")
    assert patch(api, cue, callback={"headers": {}})["callback"]["headers"] == {}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"retry": {"backoff_minutes": [9]}}, {"retry": {"max_attempts": 3, "backoff_minutes": [9]}}),
        (
            {"retry": {"jitter": 0.125}},
            {"retry": {"max_attempts": 3, "backoff_minutes": [1, 5, 15], "jitter": 0.125}},
        ),
        ({"on_failure": {"pause": True}}, {"on_failure": {"email": True, "webhook": None, "pause": True}}),
        (
            {"delivery": {"timeout_seconds": 5}},
            {"delivery": {"timeout_seconds": 5, "outcome_deadline_seconds": 300}},
        ),
        (
            {"alerts": {"missed_window_multiplier": 9}},
            {"alerts": {"consecutive_failures": 3, "missed_window_multiplier": 9}},
        ),
    ],
)
def test_parts_are_replaced_as_a_whole(api: Api, given: dict, expected: dict) -> None:
    full = {
        "retry": {"max_attempts": 9, "backoff_minutes": [2], "jitter": 0.5},
        "on_failure": {"email": False, "webhook": "http://127.0.0.1:9/f"},
        "delivery": {"timeout_seconds": 9, "outcome_deadline_seconds": 9},
        "alerts": {"consecutive_failures": 9, "missed_window_multiplier": 3},
    }
    assert patch(api, create(api, **full), **given).items() >= expected.items()


def test_a_rate_alone_is_changed_without_the_times_of_the_delivery(api: Api) -> None:
    times = {"timeout_seconds": 9, "outcome_deadline_seconds": 99}
    cue = create(api, delivery=times)
    assert patch(api, cue, delivery={"rate_per_minute": 5})["delivery"] == times | {"rate_per_minute": 5}
    assert patch(api, cue, delivery={"rate_per_minute": None})["delivery"] == times
    patch(api, cue, delivery=times | {"rate_per_minute": 5})
    assert patch(api, cue, delivery=times)["delivery"] == times
    assert patch(api, cue, delivery={"rate_per_minute": 5}, name="other")["delivery"] == times | {"rate_per_minute": 5}
    assert patch(api, cue, delivery=None)["delivery"] is None


def test_a_worker_cue_has_no_rate(api: Api) -> None:
    body = make.body(transport="worker", delivery={"rate_per_minute": 5})
    envelope.refused(api.post("/v1/cues", body), 422, "validation_error", "body.delivery.rate_per_minute")
    cue = create(api, transport="worker", delivery={"rate_per_minute": None})
    path = f"/v1/cues/{cue['id']}"
    answer = api.patch(path, {"delivery": {"rate_per_minute": 5}})
    envelope.refused(answer, 422, "validation_error", "body.delivery.rate_per_minute")
    assert api.get(path).json()["delivery"] is None


def test_null_clears_some_fields_and_leaves_the_others(api: Api) -> None:
    cleared = {
        "description": "d",
        "required_payload_keys": ["a"],
        "verification": {"mode": "manual"},
        "delivery": {"timeout_seconds": 9},
        "alerts": {"consecutive_failures": 9},
    }
    kept = {
        "name": "kept",
        "schedule": CRON,
        "callback": {"url": NOWHERE, "method": "PUT"},
        "payload": {"a": 1},
        "retry": {"max_attempts": 9},
        "on_failure": {"email": False},
        "catch_up": "skip_missed",
        "require_payload_override": True,
    }
    cue = create(api, **cleared, **kept)
    after = patch(api, cue, **dict.fromkeys([*cleared, *kept, "on_success_fire", "status"]))
    assert {name: after[name] for name in cleared} == dict.fromkeys(cleared)
    assert {name: after[name] for name in kept} == {name: cue[name] for name in kept}


def test_an_empty_patch_changes_nothing(api: Api) -> None:
    cue = create(api)
    assert patch(api, cue) == cue


@pytest.mark.parametrize("field", ["transport", "cron", "callback_url", "worker", "unknown"])
def test_unknown_fields_and_the_transport_cannot_be_patched(api: Api, field: str) -> None:
    assert refused(api, create(api), **{field: "webhook"}) == (422, "validation_error")


# --- Status and schedule together -------------------------------------------------------------------------------


def made(api: Api, **columns: Any) -> dict[str, Any]:
    return {"id": make.cue(api.account, **columns).pk}


def test_pause_and_resume_a_recurring_cue(api: Api) -> None:
    cue = create(api)
    paused = patch(api, cue, status="paused")
    assert (paused["status"], paused["next_run"]) == ("paused", None)
    assert patch(api, cue, schedule=CRON)["next_run"] is None
    resumed = patch(api, cue, status="active")
    assert clock.now() < instant(resumed["next_run"]) <= clock.now() + timedelta(days=1)


def test_a_one_shot_paused_past_its_time_runs_now(api: Api) -> None:
    cue = patch(api, made(api, status="paused", at=PAST, next_run=None), status="active")
    assert clock.now() - instant(cue["next_run"]) < timedelta(minutes=1)
    assert cue["schedule"]["at"] == cue["next_run"]


def test_one_that_skips_what_it_missed_needs_a_new_time(api: Api) -> None:
    cue = made(api, status="paused", at=PAST, next_run=None, catch_up="skip_missed")
    assert refused(api, cue, status="active") == (400, "invalid_schedule")
    assert patch(api, cue, status="active", schedule=ONCE)["next_run"] == AT


@pytest.mark.parametrize("status", ["completed", "failed"])
def test_a_finished_cue_comes_back_with_a_new_schedule_only(api: Api, status: str) -> None:
    cue = made(api, status=status, at=PAST, last_slot=PAST, next_run=None)
    for body in ({"status": "active"}, {"status": "paused"}, {"status": "active", "schedule": {"timezone": "UTC"}}):
        assert refused(api, cue, **body) == (400, "invalid_schedule")
    assert patch(api, cue, schedule=ONCE).items() >= {"status": status, "next_run": None}.items()
    assert patch(api, cue, status="active", schedule=ONCE).items() >= {"status": "active", "next_run": AT}.items()


def test_a_new_zone_alone_does_not_run_a_one_shot_again(api: Api) -> None:
    cue = made(api, at=PAST, last_slot=PAST, next_run=None, is_lenient=True)
    after = patch(api, cue, schedule={"timezone": "Asia/Tokyo"})
    assert (after["next_run"], after["schedule"]["timezone"]) == (None, "Asia/Tokyo")


def test_resuming_a_one_shot_whose_run_is_in_flight_does_not_run_it_again(api: Api) -> None:
    cue = made(api, at=PAST, last_slot=PAST, next_run=None, status="paused")
    assert patch(api, cue, status="active")["next_run"] is None


def test_the_status_cannot_be_set_to_an_end(api: Api) -> None:
    for status in ("completed", "failed", "resting"):
        assert refused(api, create(api, name=status), status=status) == (422, "validation_error")


def test_a_new_zone_with_the_word_to_go_on_wakes_a_paused_one_shot(api: Api) -> None:
    cue = create(api, schedule=ONCE)
    patch(api, cue, status="paused")
    woken = patch(api, cue, status="active", schedule={"timezone": "Europe/Paris"})
    assert (woken["status"], woken["next_run"], woken["schedule"]["timezone"]) == ("active", AT, "Europe/Paris")


def test_a_lenient_cue_that_is_told_to_be_strict_refuses_the_past(api: Api) -> None:
    cue = create(api, schedule={"type": "one-time", "at": AT})
    answer = api.patch(f"/v1/cues/{cue['id']}", {"schedule": {"type": "once", "at": "2024-01-01T00:00:00Z"}})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_schedule")


@pytest.mark.parametrize("part", [{"retry": {"attempts": 5}}, {"schedule": {"crom": "* * * * *"}}])
def test_a_misspelt_key_inside_a_patch_is_refused(api: Api, part: dict[str, Any]) -> None:
    cue = create(api)
    answer = api.patch(f"/v1/cues/{cue['id']}", part)
    ((name, keys),) = part.items()
    assert answer.status_code == 422
    assert answer.json()["error"]["details"][0]["field"] == f"body.{name}.{next(iter(keys))}"


def test_a_null_inside_the_nested_form_leaves_the_flat_one(api: Api) -> None:
    made = api.post("/v1/cues", {"name": "f", "cron": "@daily", "callback_url": NOWHERE, "callback": {"url": None}})
    assert made.status_code == 201
    assert made.json()["callback"]["url"] == NOWHERE
