"""The published Python SDK against our server: cues, executions, errors and the check of a signature.

SDK 0.1.3 cannot fire, claim, replay or list workers; where a story needs that, the test does it over HTTP.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.account import Account
from tests.clients.sdk import Refused, Sdk
from tests.clients.server import Server
from tests.clients.venvs import programs_of
from tests.support.receiver import Answer, Received, Receiver

pytestmark = pytest.mark.processes

YEARLY = "0 0 1 1 *"
HOOK = "http://127.0.0.1:9/hook"


@pytest.fixture(scope="session")
def programs() -> Path:
    return programs_of("sdk")


@pytest.fixture
def sdk(programs: Path, account: Account, tmp_path: Path) -> Iterator[Sdk]:
    with Sdk(tmp_path, programs, account) as client:
        yield client


def create(sdk: Sdk, name: str = "digest", **fields: Any) -> Any:
    return sdk.call("cues.create", **{"name": name, "cron": YEARLY, "callback": HOOK} | fields)


def refused(sdk: Sdk, name: str, /, **keywords: Any) -> Refused:
    with pytest.raises(Refused) as raised:
        sdk.call(name, **keywords)
    return raised.value


# --- Cues -------------------------------------------------------------------------------------------------------------


def test_a_cue_is_read_back_as_it_was_created(sdk: Sdk) -> None:
    created = create(
        sdk,
        timezone="Europe/Paris",
        callback_method="PUT",
        callback_headers={"X-Team": "ops"},
        payload={"task": "digest", "depth": 1.5},
        description="Once a year",
        retry={"max_attempts": 5, "backoff_minutes": [0, 2]},
        on_failure={"email": False, "webhook": None, "pause": True},
    )
    found = sdk.call("cues.get", cue_id=created["id"])
    assert found == created
    assert found["schedule"] == {"type": "recurring", "cron": YEARLY, "at": None, "timezone": "Europe/Paris"}
    assert found["callback"] == {"url": HOOK, "method": "PUT", "headers": {"X-Team": "ops"}}
    assert found["retry"] == {"max_attempts": 5, "backoff_minutes": [0, 2]}
    assert found["on_failure"] == {"email": False, "webhook": None, "pause": True}
    assert (found["payload"], found["status"]) == ({"task": "digest", "depth": 1.5}, "active")


def test_a_one_shot_is_due_at_its_time(sdk: Sdk) -> None:
    created = sdk.call("cues.create", name="later", at="2099-05-04T09:00:00+02:00", callback=HOOK)
    assert created["schedule"]["type"] == "once"
    assert created["next_run"] == "2099-05-04T07:00:00Z"


def test_a_worker_cue_has_the_callback_object_that_the_model_asks_for(sdk: Sdk) -> None:
    created = sdk.call("cues.create", name="pull", cron=YEARLY, transport="worker")
    assert created["callback"] == {"url": None, "method": "POST", "headers": {}}
    assert "No active workers" in created["warning"]


def test_cues_are_listed_by_page_and_by_status(sdk: Sdk) -> None:
    names = ["one", "two", "three"]
    ids = {name: create(sdk, name)["id"] for name in names}
    sdk.call("cues.pause", cue_id=ids["two"])
    page = sdk.call("cues.list", limit=2, offset=1)
    assert [cue["name"] for cue in page["cues"]] == ["two", "one"]
    assert (page["total"], page["limit"], page["offset"]) == (3, 2, 1)
    assert [cue["name"] for cue in sdk.call("cues.list", status="paused")["cues"]] == ["two"]


def test_a_new_cron_keeps_the_zone_that_the_sdk_does_not_send(sdk: Sdk) -> None:
    cue = create(sdk, timezone="Europe/Paris")
    updated = sdk.call("cues.update", cue_id=cue["id"], cron="0 12 1 7 *")
    assert updated["schedule"]["timezone"] == "Europe/Paris"
    assert "-07-01T10:00:00" in updated["next_run"]


def test_a_new_callback_keeps_the_method_and_headers_that_the_sdk_does_not_send(sdk: Sdk) -> None:
    cue = create(sdk, callback_method="PUT", callback_headers={"X-Team": "ops"})
    updated = sdk.call("cues.update", cue_id=cue["id"], callback="http://127.0.0.1:9/other", name="renamed")
    assert updated["callback"] == {"url": "http://127.0.0.1:9/other", "method": "PUT", "headers": {"X-Team": "ops"}}
    assert updated["name"] == "renamed"


def test_an_update_of_nothing_changes_nothing(sdk: Sdk) -> None:
    cue = create(sdk)
    assert sdk.call("cues.update", cue_id=cue["id"]) == cue


def test_a_paused_cue_waits_until_it_is_resumed(sdk: Sdk) -> None:
    cue = create(sdk)
    paused = sdk.call("cues.pause", cue_id=cue["id"])
    assert (paused["status"], paused["next_run"]) == ("paused", None)
    resumed = sdk.call("cues.resume", cue_id=cue["id"])
    assert (resumed["status"], resumed["next_run"]) == ("active", cue["next_run"])


def test_a_deleted_cue_is_gone(sdk: Sdk) -> None:
    cue = create(sdk)
    assert sdk.call("cues.delete", cue_id=cue["id"]) is None
    error = refused(sdk, "cues.get", cue_id=cue["id"])
    assert (error.kind, error.code) == ("CueNotFoundError", "cue_not_found")


# --- Errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"cron": "every day"}, "invalid_schedule"),
        ({"timezone": "Mars/Base"}, "invalid_timezone"),
        ({"callback": "http://10.0.0.1/"}, "invalid_callback_url"),
    ],
)
def test_a_wrong_cue_raises_the_error_for_wrong_schedules(sdk: Sdk, fields: dict[str, str], code: str) -> None:
    error = refused(sdk, "cues.create", **{"name": "wrong", "cron": YEARLY, "callback": HOOK} | fields)
    assert (error.kind, error.code) == ("InvalidScheduleError", code)
    assert error.message


def test_a_name_taken_twice_raises_the_base_error(sdk: Sdk) -> None:
    create(sdk)
    error = refused(sdk, "cues.create", name="digest", cron=YEARLY, callback=HOOK)
    assert (error.kind, error.status, error.code) == ("CueAPIError", 409, "duplicate_cue_name")


def test_a_wrong_key_raises_the_error_for_authentication(programs: Path, account: Account, tmp_path: Path) -> None:
    with Sdk(tmp_path, programs, account, api_key="cue_sk_" + "0" * 32) as sdk:
        error = refused(sdk, "cues.list")
    assert (error.kind, error.code) == ("AuthenticationError", "invalid_api_key")


def test_the_limits_of_a_plan_raise_their_own_errors(sdk: Sdk, account: Account, server: Server) -> None:
    limit(server, account, active_cue_limit=1, rate_limit_per_minute=3)
    create(sdk)
    full = refused(sdk, "cues.create", name="second", cron=YEARLY, callback=HOOK)
    assert (full.kind, full.code) == ("CueLimitExceededError", "cue_limit_exceeded")
    sdk.call("cues.list")
    busy = refused(sdk, "cues.list")
    assert (busy.kind, busy.code) == ("RateLimitError", "rate_limit_exceeded")
    assert 1 <= (busy.retry_after or 0) <= 61


def limit(server: Server, account: Account, **columns: int) -> None:
    """As an operator does in the admin."""
    code = "from cueapi.models import Account; Account.objects.filter(email={!r}).update(**{!r})"
    server.python(code.format(account.email, columns))


# --- Deliveries -------------------------------------------------------------------------------------------------------

PAYLOAD = {"text": "Grüße “to” you 🌍", "big": 2**53, "ratio": 0.1, "tiny": 1e-7, "nested": {"b": [1, None], "a": True}}


def verified(sdk: Sdk, webhook: Received, secret: str, body: str | None = None) -> Any:
    return sdk.call(
        "verify_webhook",
        body=webhook.body.decode() if body is None else body,
        signature=webhook.headers["X-CueAPI-Signature"],
        timestamp=webhook.headers["X-CueAPI-Timestamp"],
        secret=secret,
    )


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_the_sdk_knows_our_webhooks_from_others(sdk: Sdk, account: Account, receiver: Receiver, method: str) -> None:
    cue = create(sdk, callback=receiver.url, callback_method=method, payload=PAYLOAD)
    account.fire(cue)
    (webhook,) = receiver.wait_for(1)
    secret = account.get("/v1/auth/webhook-secret")["webhook_secret"]
    assert verified(sdk, webhook, secret)
    assert not verified(sdk, webhook, secret, body=webhook.body.decode() + '{"more": 1}')
    assert not verified(sdk, webhook, "whsec_" + "0" * 64)


def test_the_cue_tells_of_its_run(sdk: Sdk, account: Account, receiver: Receiver) -> None:
    cue = create(sdk, callback=receiver.url)
    account.ended(account.fire(cue))
    found = sdk.call("cues.get", cue_id=cue["id"])
    assert (found["run_count"], found["fired_count"]) == (1, 0)
    assert found["last_run"]


# --- Executions -------------------------------------------------------------------------------------------------------


@pytest.fixture
def delivered(sdk: Sdk, account: Account, receiver: Receiver) -> str:
    """An execution whose webhook was answered, and whose outcome nobody reported yet."""
    execution_id = account.fire(create(sdk, callback=receiver.url))
    account.ended(execution_id)
    return execution_id


def test_executions_are_listed_by_what_became_of_them(sdk: Sdk, account: Account, receiver: Receiver) -> None:
    receiver.default = Answer(500)
    good, bad = create(sdk, "good"), create(sdk, "bad", callback=receiver.url, retry={"max_attempts": 1})
    failed = account.fire(bad)
    account.ended(failed)
    later = account.fire(good, send_at="2099-01-01T00:00:00Z")
    assert ids(sdk.call("executions.list")) == [later, failed]
    assert ids(sdk.call("executions.list", status="failed")) == [failed]
    assert ids(sdk.call("executions.list", cue_id=good["id"], triggered_by="manual_fire")) == [later]
    assert ids(sdk.call("executions.list", triggered_by="scheduled")) == []
    page = sdk.call("executions.list", limit=1, offset=1)
    assert (ids(page), page["total"], page["has_more"]) == ([failed], 2, False)


def ids(page: Any) -> list[str]:
    return [execution["id"] for execution in page["executions"]]


def test_an_outcome_is_reported_once_with_its_evidence(sdk: Sdk, delivered: str) -> None:
    report = {
        "execution_id": delivered,
        "success": True,
        "result": "sent",
        "metadata": {"n": 3},
        "external_id": "msg:88",
        "result_url": "https://mail.example.org/88",
        "result_type": "email",
        "summary": "One mail",
        "artifacts": [{"name": "log"}],
    }
    assert sdk.call("executions.report_outcome", **report)["outcome_recorded"] is True
    found = sdk.call("executions.get", execution_id=delivered)
    told = report.keys() - {"execution_id"}
    assert {name: found["outcome"][name] for name in told} == {name: report[name] for name in told}
    again = refused(sdk, "executions.report_outcome", **report)
    assert (again.status, again.code) == (409, "outcome_already_recorded")
    assert ids(sdk.call("executions.list", outcome_state="reported_success")) == [delivered]


def test_a_report_is_held_for_a_check_and_then_verified(sdk: Sdk, delivered: str) -> None:
    sdk.call("executions.report_outcome", execution_id=delivered, success=True)
    pending = sdk.call("executions.mark_verification_pending", execution_id=delivered)
    assert pending == {"execution_id": delivered, "outcome_state": "verification_pending"}
    verdict = sdk.call("executions.mark_verified", execution_id=delivered)
    assert (verdict["outcome_state"], verdict["valid"]) == ("verified_success", True)


def test_a_handler_that_ends_reports_success(sdk: Sdk, delivered: str) -> None:
    sdk.call("executions.handle", execution_id=delivered, result="42 rows", evidence={"external_id": "job-1"})
    outcome = sdk.call("executions.get", execution_id=delivered)["outcome"]
    assert (outcome["success"], outcome["result"], outcome["external_id"]) == (True, "42 rows", "job-1")


def test_a_handler_that_raises_reports_failure(sdk: Sdk, delivered: str) -> None:
    raised = sdk.call("executions.handle", execution_id=delivered, crash="no such table")
    found = sdk.call("executions.get", execution_id=delivered)
    assert raised == found["outcome"]["error"] == "no such table"
    assert (found["status"], found["outcome_state"]) == ("success", "reported_failure")


def test_a_payload_of_the_builder_reaches_the_worker_it_names(sdk: Sdk, account: Account) -> None:
    payload = sdk.call("build_payload", task="brief", agent="socrates", topic="cues")
    cue = sdk.call("cues.create", name="brief", cron=YEARLY, transport="worker", payload=payload)
    execution_id = account.fire(cue)
    (offered,) = account.get("/v1/executions/claimable", task="brief", agent="socrates")["executions"]
    assert (offered["execution_id"], offered["payload"]) == (execution_id, payload)
    assert account.get("/v1/executions/claimable", task="brief", agent="plato")["executions"] == []


def test_a_heartbeat_without_a_worker_id_extends_the_lease(sdk: Sdk, account: Account) -> None:
    execution_id = account.fire(account.worker_cue("pull", "dig"))
    lease = account.post(f"/v1/executions/{execution_id}/claim", {"worker_id": "w-1"})["lease_expires_at"]
    beat = sdk.call("executions.heartbeat", execution_id=execution_id)
    assert beat["acknowledged"] is True
    assert beat["lease_extended_until"] > lease
    sdk.call("executions.report_outcome", execution_id=execution_id, success=True)
    late = refused(sdk, "executions.heartbeat", execution_id=execution_id)
    assert (late.status, late.code) == (409, "execution_not_claiming")
