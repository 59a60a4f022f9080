"""The seed article's calls work as printed, in both spellings: contract section 13, row by row."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support import article
from tests.support.api import Api
from tests.support.article import by_curl, client_of, created
from tests.support.envelope import in_envelope, refused

pytestmark = [pytest.mark.django_db, pytest.mark.database]

UNKNOWN = "0d7a1c1e-6a53-4d0e-9b2f-2f6c1f0f7a11"  # no execution has this id

Sender = Callable[[Api], Any]


def curl_of(command: str) -> Sender:
    return lambda api: by_curl(api, command)


def httpx_of(call: Callable[..., Any], *arguments: Any) -> Sender:
    def send(api: Api) -> Any:
        with client_of(api) as client:
            return call(client, *arguments)

    return send


BROKEN_CIRCUIT_PAYLOAD = {"inquiryId": "inquiry_123"}
CREATES: dict[str, Sender] = {
    "process-inquiry-curl": curl_of(article.PROCESS_INQUIRY),
    "process-inquiry-httpx": httpx_of(article.process_inquiry),
    "notify-curl": curl_of(article.NOTIFY_COMPLETION),
    "notify-httpx": httpx_of(article.notify_completion),
    "fallback-curl": curl_of(article.FALLBACK),
    "fallback-httpx": httpx_of(article.process_with_circuit_breaker, BROKEN_CIRCUIT_PAYLOAD),
    "dead-letter-httpx": httpx_of(article.handle_failed_task, {"inquiryId": "inquiry_123"}, "exec_123", 3),
    "health-curl": curl_of(article.HEALTH_CHECK),
    "health-httpx": httpx_of(article.health_check),
}


def calls(*prefixes: str) -> Any:
    names = [name for name in CREATES if name.startswith(prefixes)]
    return pytest.mark.parametrize("call", [CREATES[name] for name in names], ids=names)


both = {name: calls(name) for name in ("process-inquiry", "notify", "fallback", "health")}
every_one_time = calls("process-inquiry", "notify", "fallback", "dead-letter")


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


# --- Rows 1 to 7: creating --------------------------------------------------------------------------------------


@both["process-inquiry"]
def test_rows_1_and_2_one_time_with_null_is_due_at_its_creation(api: Api, call: Sender) -> None:
    cue = created(call(api))
    assert cue["schedule"] == {"type": "once", "at": cue["created_at"], "timezone": "UTC"}
    assert cue["next_run"] == cue["created_at"]
    assert (cue["status"], cue["transport"]) == ("active", "webhook")
    assert cue["description"] == "Process customer inquiry with reliability"
    assert cue["payload"] == {"inquiryId": "inquiry_123"}


def test_row_3_the_circuit_breaker_time_of_2024_runs_now_with_a_warning(api: Api) -> None:
    cue = created(by_curl(api, article.FALLBACK))
    assert "2024-01-01T12:05:00Z is in the past" in cue["warning"]
    assert cue["schedule"]["at"] == cue["next_run"] == cue["created_at"]


def test_row_4_the_circuit_breaker_time_with_microseconds_is_kept(api: Api) -> None:
    before = datetime.now(UTC)
    cue = created(CREATES["fallback-httpx"](api))
    due_at = instant(cue["next_run"])
    assert before + timedelta(minutes=5) <= due_at <= datetime.now(UTC) + timedelta(minutes=5)
    assert "in the past" not in (cue["warning"] or "")
    assert cue["payload"] == BROKEN_CIRCUIT_PAYLOAD


@every_one_time
def test_row_5_a_one_time_name_may_be_used_again_and_again(api: Api, call: Sender) -> None:
    ids = {created(call(api))["id"] for _ in range(3)}
    assert len(ids) == 3


def test_row_5_the_two_spellings_of_each_one_time_call_stand_beside_each_other(api: Api) -> None:
    names = [name for name in CREATES if not name.startswith("health")]
    ids = {created(CREATES[name](api))["id"] for name in names}
    assert len(ids) == api.get("/v1/cues").json()["total"] == 7


def test_row_6_the_recurring_name_is_refused_the_second_time_until_the_first_is_deleted(api: Api) -> None:
    first = created(CREATES["health-curl"](api))
    for name in ("health-curl", "health-httpx"):
        refused(CREATES[name](api), 409, "duplicate_cue_name")
    assert api.get("/v1/cues").json()["total"] == 1
    assert api.delete(f"/v1/cues/{first['id']}").status_code == 204
    created(CREATES["health-httpx"](api))


@both["health"]
def test_row_6_either_spelling_alone_makes_the_recurring_cue(api: Api, call: Sender) -> None:
    cue = created(call(api))
    assert cue["schedule"] == {"type": "recurring", "cron": "*/5 * * * *", "timezone": "UTC"}
    assert cue["retry"] == {"max_attempts": 3, "backoff_minutes": [1, 3, 5]}
    due_at = instant(cue["next_run"])
    assert due_at.minute % 5 == 0 and (due_at.second, due_at.microsecond) == (0, 0)
    assert timedelta(0) < due_at - instant(cue["created_at"]) <= timedelta(minutes=5)


@pytest.mark.parametrize("name", CREATES)
def test_row_7_a_host_that_does_not_resolve_is_a_warning_and_no_refusal(api: Api, name: str) -> None:
    assert "does not resolve" in created(CREATES[name](api))["warning"]


# --- Rows 10 to 12: retries and failure -------------------------------------------------------------------------


@both["process-inquiry"]
def test_rows_10_and_12_retry_and_on_failure_come_back_as_sent(api: Api, call: Sender) -> None:
    cue = created(call(api))
    assert cue["retry"] == {"max_attempts": 3, "backoff_minutes": [1, 5, 15]}
    assert cue["on_failure"] == {"email": True, "webhook": None, "pause": False}


@both["notify"]
def test_row_10_five_attempts_with_five_waits_come_back_as_sent(api: Api, call: Sender) -> None:
    assert created(call(api))["retry"] == {"max_attempts": 5, "backoff_minutes": [1, 2, 4, 8, 16]}


@calls("fallback", "dead-letter")
def test_row_11_without_retry_the_default_holds(api: Api, call: Sender) -> None:
    assert created(call(api))["retry"] == {"max_attempts": 3, "backoff_minutes": [1, 5, 15]}


# --- Rows 14, 15: outcomes --------------------------------------------------------------------------------------


def report_by_curl(api: Api, execution_id: str) -> Any:
    return by_curl(api, article.REPORT_SUCCESS, execution_id)


def report_by_httpx(api: Api, execution_id: str) -> Any:
    payload = {"inquiryId": "inquiry_123", "execution_id": execution_id}
    with client_of(api) as client:
        return article.handle_customer_inquiry(client, payload, len)


def report_failure_by_httpx(api: Api, execution_id: str) -> Any:
    payload = {"inquiryId": "inquiry_123", "execution_id": execution_id}
    with client_of(api) as client:
        return article.handle_customer_inquiry(client, payload, article.out_of_order)


either_report = pytest.mark.parametrize("report", [report_by_curl, report_by_httpx])


def fired(api: Api) -> str:
    cue = created(by_curl(api, article.HEALTH_CHECK))
    execution_id: str = api.post(f"/v1/cues/{cue['id']}/fire").json()["id"]
    return execution_id


@either_report
def test_rows_14_and_15_the_outcome_call_works_with_a_real_id(api: Api, report: Callable[..., Any]) -> None:
    execution_id = fired(api)
    answer = report(api, execution_id)
    assert answer.status_code == 200, answer.content
    assert answer.json() == {
        "execution_id": execution_id,
        "outcome_recorded": True,
        "outcome_state": "reported_success",
        "reason": None,
    }


@either_report
def test_row_15_the_form_of_the_printed_id_works_too(api: Api, report: Callable[..., Any]) -> None:
    execution_id = fired(api)
    answer = report(api, f"exec_{execution_id}")
    assert (answer.status_code, answer.json()["execution_id"]) == (200, execution_id)


@either_report
@pytest.mark.parametrize("execution_id", ["exec_123", f"exec_{UNKNOWN}", UNKNOWN])
def test_row_15_an_unknown_id_is_not_found(api: Api, report: Callable[..., Any], execution_id: str) -> None:
    answer = report(api, execution_id)
    assert answer.status_code == 404
    assert in_envelope(answer)["code"] == "execution_not_found"


def test_row_14_a_failure_with_a_null_result_is_stored(api: Api) -> None:
    answer = report_failure_by_httpx(api, fired(api))
    assert (answer.status_code, answer.json()["outcome_state"]) == (200, "reported_failure")


# --- Rows 18 to 20: living with it ------------------------------------------------------------------------------


def test_row_20_the_default_plan_never_stops_a_check_every_five_minutes(api: Api) -> None:
    me = api.get("/v1/auth/me").json()
    assert me["plan"] == "unlimited"
    assert me["monthly_execution_limit"] > 31 * 24 * 60 // 5
