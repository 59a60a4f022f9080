"""Arbitrary JSON against every door that takes a body: an answer always, never a crash, and errors in the envelope."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.api import Api
from tests.support.envelope import in_envelope

pytestmark = [pytest.mark.django_db, pytest.mark.database]

quickly = settings(
    max_examples=25, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

WORDS = ["", "now", "once", "one-time", "recurring", "UTC", "worker", "webhook", "active", "paused", "merge", "manual"]
TIMES = ["2031-05-04T09:00:00Z", "2024-01-01T12:05:00Z", "* * * * *", "0 9 1 * 1", "0 0 30 2 *", "@daily"]
URLS = ["https://hooks.example.org/", "http://127.0.0.1:1/", "http://[::1/", "http://169.254.169.254/", "//"]

leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()  # NaN and Infinity too: Python writes them, and they must be refused
    | st.sampled_from(WORDS + TIMES + URLS)
    | st.text(max_size=20)
)
anything = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


def bodies(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    """Objects in which most keys are known ones, one level down as well."""
    keys = st.sampled_from(names) | st.text(max_size=10)
    return st.dictionaries(keys, anything | st.dictionaries(keys, anything, max_size=5), max_size=6)


CUE_KEYS = (
    *("name", "description", "schedule", "type", "cron", "at", "timezone", "callback", "callback_url", "url"),
    *("method", "headers", "transport", "worker", "payload", "retry", "max_attempts", "backoff_minutes", "on_failure"),
    *("email", "webhook", "pause", "verification", "mode", "required_assertions", "delivery", "timeout_seconds"),
    *("outcome_deadline_seconds", "rate_per_minute", "alerts", "consecutive_failures", "missed_window_multiplier"),
    *("catch_up", "on_success_fire", "require_payload_override", "required_payload_keys", "status"),
)
FIRE_KEYS = ("payload_override", "merge_strategy", "send_at", "exit_criteria", "idempotency_key")
OUTCOME_KEYS = (
    *("success", "result", "error", "metadata", "external_id", "result_url", "result_ref", "result_type"),
    *("summary", "artifacts", "assertions", "valid", "reason"),
)
WELL_FORMED: dict[str, Any] = {
    "name": "fuzzed",
    "schedule": {"type": "one-time", "at": "2031-05-04T09:00:00Z"},
    "callback": {"url": "https://hooks.example.org/"},
}


def answered(answer: Any) -> None:
    assert answer.status_code < 500, answer.content
    if answer.status_code >= 400:
        in_envelope(answer)


@pytest.fixture
def cue(api: Api) -> str:
    """The URL of a good cue: one for all examples of a test."""
    return f"/v1/cues/{api.post('/v1/cues', WELL_FORMED).json()['id']}"


@quickly
@given(body=bodies(*CUE_KEYS))
def test_create_answers_anything(api: Api, body: dict[str, Any]) -> None:
    answered(api.post("/v1/cues", body))


@quickly
@given(body=bodies(*CUE_KEYS))
def test_create_answers_anything_added_to_a_good_cue(api: Api, body: dict[str, Any]) -> None:
    answered(api.post("/v1/cues", WELL_FORMED | body))


@quickly
@given(name=st.sampled_from(CUE_KEYS), value=anything | st.dictionaries(st.sampled_from(CUE_KEYS), anything))
def test_patch_answers_anything(api: Api, cue: str, name: str, value: Any) -> None:
    answered(api.patch(cue, {name: value}))
    answered(api.get(cue))


@quickly
@given(body=bodies(*FIRE_KEYS))
def test_fire_answers_anything(api: Api, cue: str, body: dict[str, Any]) -> None:
    answered(api.post(f"{cue}/fire", body))


@quickly
@given(body=bodies(*OUTCOME_KEYS), success=st.booleans())
def test_outcome_evidence_and_verify_answer_anything(api: Api, cue: str, body: dict[str, Any], success: bool) -> None:
    execution = f"/v1/executions/{api.post(f'{cue}/fire').json()['id']}"
    answered(api.post(f"{execution}/outcome", body))
    answered(api.post(f"{execution}/outcome", {"success": success}))
    answered(api.patch(f"{execution}/evidence", body))
    answered(api.post(f"{execution}/verify", body))
    answered(api.get(execution))


@quickly
@given(body=st.binary(max_size=200))
def test_create_answers_any_bytes(api: Api, body: bytes) -> None:
    answered(api.send("POST", "/v1/cues", body))


@quickly
@given(
    query=st.dictionaries(st.sampled_from(["limit", "offset", "status", "status__in", "cue_id"]), st.text(max_size=8))
)
def test_the_lists_answer_any_query(api: Api, query: dict[str, str]) -> None:
    answered(api.get("/v1/cues", **query))
    answered(api.get("/v1/executions", **query))
