"""Every field of every body, given what it is not: 422 with the field's name, never a 500, and nothing stored."""

from typing import Any

import pytest

from tests.support.api import Api
from tests.support.envelope import refused, rows

pytestmark = [pytest.mark.django_db, pytest.mark.database]

CUE: dict[str, Any] = {
    "name": "nightly-digest",
    "schedule": {"type": "recurring", "cron": "15 2 * * *"},
    "callback": {"url": "https://hooks.example.org/digest"},
}
NO_TEXT: list[Any] = [5, True, [], {"a": 1}]
NO_OBJECT: list[Any] = ["x", "", 5, []]
NO_FLAG: list[Any] = ["true", 1, []]
NO_LIST: list[Any] = ["x", 5, {"0": "x"}]
NO_WHOLE: list[Any] = ["3", 1.5, True, [], -1, 10**400]

# What both POST /v1/cues and PATCH /v1/cues/{id} refuse.
CUE_FIELDS: dict[str, list[Any]] = {
    "name": [*NO_TEXT, "", "   ", "x" * 256],
    "description": NO_TEXT,
    "schedule": NO_OBJECT,
    "schedule.type": [*NO_TEXT, None],
    "schedule.cron": NO_TEXT,
    "schedule.at": NO_TEXT,
    "schedule.timezone": [*NO_TEXT, ""],
    "callback": NO_OBJECT,
    "callback.url": NO_TEXT,
    "callback.method": [*NO_TEXT, "", "DELETE", "PO ST"],
    "callback.headers": [
        *NO_OBJECT,
        {"X-Team": 5},
        {"X-Team": None},
        {"X-Team": ["ops"]},
        {"X-Team": "x" * 8192},
        {f"X-{number}": "x" for number in range(51)},
    ],
    "payload": NO_OBJECT,
    "retry": NO_OBJECT,
    "retry.max_attempts": [*NO_WHOLE, 0, 11, None],
    "retry.backoff_minutes": [*NO_LIST, [], ["1"], [1.5], [True], [None], [-1], [1441], [1] * 11],
    "retry.jitter": [*NO_WHOLE, -0.1, 1.1, None],
    "on_failure": NO_OBJECT,
    "on_failure.email": [*NO_FLAG, None],
    "on_failure.webhook": NO_TEXT,
    "on_failure.pause": [*NO_FLAG, None],
    "verification": NO_OBJECT,
    "verification.mode": [*NO_TEXT, None, "", "sometimes"],
    "verification.required_assertions": [*NO_LIST, [5], [None], [""], ["x"] * 21],
    "delivery": NO_OBJECT,
    "delivery.timeout_seconds": [*NO_WHOLE, 0, 3601, None],
    "delivery.outcome_deadline_seconds": [*NO_WHOLE, 0, 3601, None],
    "delivery.rate_per_minute": [*NO_WHOLE, 0, 60_001],
    "alerts": NO_OBJECT,
    "alerts.consecutive_failures": [*NO_WHOLE, 0, 101, None],
    "alerts.missed_window_multiplier": [*NO_WHOLE, 0, 11, None],
    "catch_up": [*NO_TEXT, "", "never"],
    "on_success_fire": [*NO_TEXT, "cue_000000000000", "x" * 65],
    "require_payload_override": NO_FLAG,
    "required_payload_keys": [*NO_LIST, [5], [None], [""], ["x"] * 51],
}
CREATE_ONLY: dict[str, list[Any]] = {"transport": [*NO_TEXT, "", "pigeon"], "callback.url": ["", None], "name": [None]}
PATCH_ONLY: dict[str, list[Any]] = {
    "status": [*NO_TEXT, "", "completed", "failed", "deleted"],
    "transport": ["worker", "webhook", None],
    "cron": ["0 9 * * *"],
    "callback_url": ["https://hooks.example.org/"],
    "id": ["cue_000000000000"],
    "next_run": ["2031-05-04T09:00:00Z"],
    "nonsense": [1],
    "": [1],
}
FLAT_FIELDS: dict[str, tuple[str, list[Any]]] = {
    "cron": ("schedule.cron", NO_TEXT),
    "at": ("schedule.at", NO_TEXT),
    "timezone": ("schedule.timezone", NO_TEXT),
    "callback_url": ("callback.url", NO_TEXT),
}
FIRE_FIELDS: dict[str, list[Any]] = {
    "payload_override": NO_OBJECT,
    "merge_strategy": [*NO_TEXT, "", "deep"],
    "send_at": [*NO_TEXT, "tomorrow", "2031-02-30T00:00:00Z"],
    "exit_criteria": [*NO_LIST, [5], [""], ["x"] * 21],
    "idempotency_key": [*NO_TEXT, "", "x" * 257],
}
EVIDENCE_FIELDS: dict[str, list[Any]] = {
    "external_id": [*NO_TEXT, "x" * 501],
    "result_ref": [*NO_TEXT, "x" * 501],
    "result_type": [*NO_TEXT, "x" * 101],
    "result_url": [*NO_TEXT, "ftp://example.org/", "example.org", "https://" + "x" * 2000],
    "summary": NO_TEXT,
    "artifacts": NO_LIST,
    "assertions": NO_OBJECT,
    "metadata": NO_OBJECT,
}
OUTCOME_FIELDS = EVIDENCE_FIELDS | {"success": [*NO_FLAG, None], "result": NO_TEXT, "error": NO_TEXT}
VERIFY_FIELDS: dict[str, list[Any]] = {"valid": [*NO_FLAG, None], "reason": [*NO_TEXT, "x" * 501]}


def table(*fields: dict[str, list[Any]]) -> Any:
    """One test for each field; it tries every wrong value, because the tests are many and each value is quick."""
    pairs = [(path, values) for table_ in fields for path, values in table_.items()]
    return pytest.mark.parametrize(("path", "values"), pairs, ids=[path or "empty" for path, _ in pairs])


def put(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of `body` with `value` at `path`, as in `retry.max_attempts`."""
    first, _, rest = path.partition(".")
    return body | {first: put(body.get(first, {}), rest, value) if rest else value}


def fire(api: Api) -> str:
    cue = api.post("/v1/cues", CUE).json()
    execution_id: str = api.post(f"/v1/cues/{cue['id']}/fire").json()["id"]
    return execution_id


@table(CUE_FIELDS, CREATE_ONLY)
def test_create_names_the_wrong_field(api: Api, path: str, values: list[Any]) -> None:
    before = rows()
    for value in values:
        refused(api.post("/v1/cues", put(CUE, path, value)), 422, "validation_error", f"body.{path}")
    assert rows() == before


@pytest.mark.parametrize("field", FLAT_FIELDS)
def test_create_names_the_wrong_flat_field(api: Api, field: str) -> None:
    nested, values = FLAT_FIELDS[field]
    before = rows()
    for value in values:
        answer = api.post("/v1/cues", {"name": "flat", field: value})
        refused(answer, 422, "validation_error", f"body.{nested}")
    assert rows() == before


@table(CUE_FIELDS, PATCH_ONLY)
def test_patch_names_the_wrong_field_and_changes_nothing(api: Api, path: str, values: list[Any]) -> None:
    url = f"/v1/cues/{api.post('/v1/cues', CUE).json()['id']}"
    before = api.get(url).json()
    for value in values:
        body = put({"description": "changed"}, path, value)
        refused(api.patch(url, body), 422, "validation_error", f"body.{path}".rstrip("."))
    assert api.get(url).json() == before


@table(FIRE_FIELDS)
def test_fire_names_the_wrong_field(api: Api, path: str, values: list[Any]) -> None:
    cue = api.post("/v1/cues", CUE).json()
    before = rows()
    for value in values:
        refused(api.post(f"/v1/cues/{cue['id']}/fire", {path: value}), 422, "validation_error", f"body.{path}")
    assert rows() == before


@table(OUTCOME_FIELDS)
def test_outcome_names_the_wrong_field_and_records_nothing(api: Api, path: str, values: list[Any]) -> None:
    url = f"/v1/executions/{fire(api)}"
    for value in values:
        answer = api.post(f"{url}/outcome", {"success": True, path: value})
        refused(answer, 422, "validation_error", f"body.{path}")
    assert api.get(url).json()["outcome"] is None


@table(EVIDENCE_FIELDS)
def test_evidence_names_the_wrong_field_and_changes_nothing(api: Api, path: str, values: list[Any]) -> None:
    url = f"/v1/executions/{fire(api)}"
    assert api.post(f"{url}/outcome", {"success": True}).status_code == 200
    before = api.get(url).json()
    for value in values:
        refused(api.patch(f"{url}/evidence", {path: value}), 422, "validation_error", f"body.{path}")
    assert api.get(url).json() == before


@table(VERIFY_FIELDS)
def test_verify_names_the_wrong_field_and_decides_nothing(api: Api, path: str, values: list[Any]) -> None:
    url = f"/v1/executions/{fire(api)}"
    assert api.post(f"{url}/outcome", {"success": True}).status_code == 200
    for value in values:
        refused(api.post(f"{url}/verify", {path: value}), 422, "validation_error", f"body.{path}")
    assert api.get(url).json()["outcome_state"] == "reported_success"


@pytest.mark.parametrize("value", [*NO_TEXT, None, "", "ada", "ada@", "@example.org", "a b@example.org", "a@b\n.org"])
def test_register_names_the_wrong_address(anyone: Api, value: Any) -> None:
    before = rows()
    refused(anyone.post("/v1/auth/register", {"email": value}), 422, "validation_error", "body.email")
    refused(anyone.post("/v1/auth/register", {}), 422, "validation_error", "body.email")
    assert rows() == before


@pytest.mark.parametrize(("field", "value"), [("email", 5), ("email", "ada"), ("alert_webhook_url", 5)])
def test_the_profile_names_the_wrong_field(api: Api, field: str, value: Any) -> None:
    refused(api.patch("/v1/auth/me", {field: value}), 422, "validation_error", f"body.{field}")


def test_several_wrong_fields_are_named_at_once(api: Api) -> None:
    answer = api.post("/v1/cues", {"schedule": {"cron": 5}, "retry": {"max_attempts": 0, "backoff_minutes": ["x"]}})
    details = refused(answer, 422, "validation_error")["details"]
    assert {detail["field"] for detail in details} == {
        "body.name",
        "body.schedule.cron",
        "body.retry.max_attempts",
        "body.retry.backoff_minutes.0",
    }
    assert all(detail["message"] for detail in details)


@pytest.mark.parametrize(
    "field", ["name", "schedule", "callback", "payload", "retry", "on_failure", "catch_up", "status"]
)
def test_null_leaves_a_field_as_it_is(api: Api, field: str) -> None:
    url = f"/v1/cues/{api.post('/v1/cues', CUE).json()['id']}"
    before = api.get(url).json()
    answer = api.patch(url, {field: None})
    assert answer.status_code == 200, answer.content
    assert answer.json()[field] == before[field]
