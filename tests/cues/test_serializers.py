"""The shapes of cues: what is refused with 422, and what an answer always holds (contract 3.1 and 3.2)."""

import re
from typing import Any

import pytest

from cues.models import Cue
from cues.serializers.answers import CueOut, render
from tests.support import make
from tests.support.api import Api
from tests.support.make import NOW, NOWHERE

pytestmark = [pytest.mark.django_db]

KEYS = set(CueOut().fields)


def problems(api: Api, body: dict[str, Any]) -> list[str]:
    answer = api.post("/v1/cues", body)
    assert answer.status_code == 422, answer.content
    assert answer.json()["error"]["code"] == "validation_error"
    return [detail["field"] for detail in answer.json()["error"]["details"]]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": None}, "body.name"),
        ({"name": ""}, "body.name"),
        ({"name": "x" * 256}, "body.name"),
        ({"name": 5}, "body.name"),
        ({"schedule": "hourly"}, "body.schedule"),
        ({"schedule": {"cron": 5}}, "body.schedule.cron"),
        ({"transport": "carrier-pigeon"}, "body.transport"),
        ({"callback": None}, "body.callback.url"),
        ({"callback": {"url": NOWHERE, "transport": "worker"}}, "body.callback.transport"),
        ({"callback": {"url": NOWHERE, "method": "DELETE"}}, "body.callback.method"),
        ({"payload": []}, "body.payload"),
        ({"payload": "text"}, "body.payload"),
        ({"retry": {"max_attempts": 0}}, "body.retry.max_attempts"),
        ({"retry": {"max_attempts": 11}}, "body.retry.max_attempts"),
        ({"retry": {"max_attempts": True}}, "body.retry.max_attempts"),
        ({"retry": {"max_attempts": "3"}}, "body.retry.max_attempts"),
        ({"retry": {"backoff_minutes": []}}, "body.retry.backoff_minutes"),
        ({"retry": {"jitter": 20}}, "body.retry.jitter"),
        ({"retry": {"jitter": "0.2"}}, "body.retry.jitter"),
        ({"retry": {"backoff_minutes": [1] * 11}}, "body.retry.backoff_minutes"),
        ({"on_failure": {"email": "yes"}}, "body.on_failure.email"),
        ({"verification": {"mode": "sometimes"}}, "body.verification.mode"),
        ({"verification": {"required_assertions": ["x"] * 21}}, "body.verification.required_assertions"),
        ({"delivery": {"timeout_seconds": 0}}, "body.delivery.timeout_seconds"),
        ({"delivery": {"outcome_deadline_seconds": 3601}}, "body.delivery.outcome_deadline_seconds"),
        ({"delivery": {"rate_per_minute": 0}}, "body.delivery.rate_per_minute"),
        ({"delivery": {"rate_per_minute": 60_001}}, "body.delivery.rate_per_minute"),
        ({"delivery": {"rate_per_minute": True}}, "body.delivery.rate_per_minute"),
        ({"delivery": {"rate_per_minute": "60"}}, "body.delivery.rate_per_minute"),
        ({"alerts": {"consecutive_failures": 101}}, "body.alerts.consecutive_failures"),
        ({"alerts": {"missed_window_multiplier": 11}}, "body.alerts.missed_window_multiplier"),
        ({"catch_up": "always"}, "body.catch_up"),
        ({"required_payload_keys": ["k"] * 51}, "body.required_payload_keys"),
        ({"require_payload_override": 1}, "body.require_payload_override"),
    ],
)
def test_a_field_of_the_wrong_shape_is_named(api: Api, fields: dict, field: str) -> None:
    assert problems(api, make.body(**fields)) == [field]
    assert not Cue.objects.exists()


@pytest.mark.parametrize("minutes", [-1, 1441, 1.5, None])
def test_a_wait_is_a_whole_number_of_minutes_up_to_a_day(api: Api, minutes: Any) -> None:
    (field,) = problems(api, make.body(retry={"backoff_minutes": [1, minutes]}))
    assert field.startswith("body.retry.backoff_minutes")


@pytest.mark.parametrize(
    "headers",
    [
        {"X-CueAPI-Signature": "x"},
        {"x-cueapi-anything": "x"},
        {"Host": "x"},
        {"content-length": "1"},
        {"Transfer-Encoding": "chunked"},
        {"Connection": "close"},
        {"A": "b\r\nEvil: yes"},
        {"A\n": "b"},
        {"A b": "c"},
        {"": "b"},
        {"A": "snowman ☃"},
        {"A": 5},
        {f"H{n}": "x" for n in range(51)},
        {"A": "x" * 8192},
        ["A"],
    ],
)
def test_headers_that_cannot_or_must_not_be_sent_are_refused(api: Api, headers: Any) -> None:
    fields = problems(api, make.body(callback={"url": NOWHERE, "headers": headers}))
    assert all(field.startswith("body.callback.headers") for field in fields)


def test_fifty_headers_of_eight_kib_are_fine(api: Api) -> None:
    headers = {f"H{n:02}": "x" * 150 for n in range(50)}
    assert api.post("/v1/cues", make.body(callback={"url": NOWHERE, "headers": headers})).status_code == 201


@pytest.mark.parametrize("method", ["post", "Put", "PATCH", "get"])
def test_a_method_in_any_case_is_taken(api: Api, method: str) -> None:
    cue = api.post("/v1/cues", make.body(callback={"url": NOWHERE, "method": method})).json()
    assert cue["callback"]["method"] == method.upper()


def test_unknown_fields_of_a_create_are_ignored(api: Api) -> None:
    cue = api.post("/v1/cues", make.body(colour="blue", schedule={"cron": "* * * * *", "jitter": 5})).json()
    assert set(cue) == KEYS


def test_an_answer_always_holds_every_key(api: Api) -> None:
    worker = make.cue(api.account, transport="worker", callback_url="", lane="")
    for cue in (make.recurring(api.account), make.cue(api.account), worker):
        shown = render(cue)
        assert set(shown) == KEYS
        for part in ("callback", "retry", "payload", "on_failure"):
            assert isinstance(shown[part], dict)
        assert re.fullmatch(r"cue_[a-z0-9]{12}", shown["id"])


def test_a_schedule_shows_cron_or_at() -> None:
    owner = make.account()
    recurring = render(make.recurring(owner))["schedule"]
    assert recurring == {"type": "recurring", "cron": "*/5 * * * *", "timezone": "UTC"}
    interval = render(make.recurring(owner, cron="", every_s=5400, anchor=NOW))["schedule"]
    assert interval.items() >= {"every": "1h30m", "anchor": "2031-05-04T09:00:00Z"}.items()
    assert "cron" not in interval
    once = render(make.cue(owner, is_lenient=True))["schedule"]
    assert once == {"type": "once", "at": "2031-05-04T09:00:00Z", "timezone": "UTC"}


def test_a_schedule_shows_the_rules_that_were_set() -> None:
    rules = {"starts_at": NOW, "ends_at": NOW, "max_runs": 3, "jitter_s": 9, "dst": "skip", "overlap": "queue"}
    shown = render(make.recurring(make.account(), **rules))["schedule"]
    at = "2031-05-04T09:00:00Z"
    set_ones = {"starts_at": at, "ends_at": at, "max_runs": 3, "jitter_seconds": 9, "dst": "skip", "overlap": "queue"}
    assert shown == {"type": "recurring", "cron": "*/5 * * * *", "timezone": "UTC"} | set_ones


def test_the_lane_the_secret_and_the_periodic_task_stay_inside() -> None:
    text = str(render(make.recurring(make.account(), created_at=NOW)))
    assert "lane" not in text
    assert "periodic" not in text
    assert "whsec_" not in text


@pytest.mark.parametrize(
    ("sent", "named"),
    [
        ({"payloads": {}}, "payloads (did you mean payload?)"),
        ({"Retry": {}}, "Retry (did you mean retry?)"),
        ({"retry": {"max_attempt": 2}}, "retry.max_attempt (did you mean retry.max_attempts?)"),
        ({"xyzzy": 1}, "xyzzy"),
        ({f"unknown_{n}": n for n in range(7)}, "and 2 more"),
    ],
)
def test_an_unknown_field_is_named_with_the_nearest_known_one(api: Api, sent: dict, named: str) -> None:
    answer = api.post("/v1/cues", make.body(**sent))
    assert answer.status_code == 201, answer.content
    assert answer.json()["warning"].startswith("Unknown fields were ignored: ")
    assert named in answer.json()["warning"]


def test_what_is_known_is_not_warned_of(api: Api) -> None:
    flat = {"name": "flat", "cron": "*/5 * * * *", "timezone": "UTC", "callback_url": NOWHERE, "worker": False}
    assert api.post("/v1/cues", flat).json()["warning"] is None
    headers = {"url": NOWHERE, "headers": {"X-Team": "ops"}}
    assert api.post("/v1/cues", make.body(callback=headers, payload={"any": 1})).json()["warning"] is None
