"""The doors of pulling: what clients read, what is refused, and answers that come when work appears."""

import threading
from datetime import timedelta
from typing import Any

import pytest

from cueapi import clock
from cueapi.models import Account, MonthlyUsage, month_of
from executions.models import Execution, Worker
from executions.states import Status
from tests.support import make
from tests.support.api import Api
from tests.support.deadline import eventually
from tests.support.envelope import refused
from tests.support.together import at_once

pytestmark = [pytest.mark.django_db, pytest.mark.database]

NOBODY = "0d7a1c1e-6a53-4d0e-9b2f-2f6c1f0f7a11"
waits = pytest.mark.django_db(transaction=True)


def fired(api: Api, **payload: Any) -> str:
    body = make.body(name="pull", transport="worker", callback=None, schedule={"cron": "0 0 1 1 *"}, payload=payload)
    cue = api.post("/v1/cues", body)
    assert cue.status_code == 201, cue.content
    return str(api.post(f"/v1/cues/{cue.json()['id']}/fire").json()["id"])


def test_what_waits_is_shown_as_workers_read_it(api: Api) -> None:
    run = fired(api, task="digest", n=1)
    (item,) = api.get("/v1/executions/claimable").json()["executions"]
    assert item == {
        "execution_id": run,
        "cue_id": item["cue_id"],
        "cue_name": "pull",
        "task": "digest",
        "scheduled_for": item["scheduled_for"],
        "payload": {"task": "digest", "n": 1},
        "attempt": 0,
    }


def test_a_claim_says_how_long_it_is_good_and_where_to_report(api: Api, anyone: Api, settings: Any) -> None:
    run = fired(api, task="digest")
    claim = api.post(f"/v1/executions/{run}/claim", {"worker_id": "host.example/1"}).json()
    assert (claim["claimed"], claim["execution_id"], claim["attempt"]) == (True, run, 1)
    assert (claim["lease_seconds"], claim["task"], claim["payload"]) == (900, "digest", {"task": "digest"})
    shown = api.get(f"/v1/executions/{run}").json()
    assert (shown["status"], shown["claimed_by_worker"]) == ("delivering", "host.example/1")
    assert shown["lease_expires_at"] == claim["lease_expires_at"]
    base = settings.CUEAPI.base_url
    noted = anyone.post(claim["heartbeat_url"].removeprefix(base)).json()
    assert (noted["execution_id"], noted["acknowledged"]) == (run, True)
    assert noted["lease_extended_until"] > claim["lease_expires_at"]
    assert anyone.post(claim["outcome_url"].removeprefix(base), {"success": True}).status_code == 200
    assert api.get("/v1/executions", worker_id="host.example/1").json()["executions"][0]["status"] == "success"


def test_the_published_forms_of_a_heartbeat_pass(api: Api) -> None:
    run = fired(api)
    path = f"/v1/executions/{run}/heartbeat"
    refused(api.post(path, {}), 409, "execution_not_claiming")
    api.post("/v1/executions/claim", {"worker_id": "w"})
    assert api.post(path, {}).status_code == 200  # the SDK
    assert api.post(path, b"", x_worker_id="w").status_code == 200  # the command line
    refused(api.post(path, b"", x_worker_id="other"), 403, "not_execution_owner")
    refused(api.post(f"/v1/executions/{run}/outcome", {"success": True}, x_worker_id="o"), 403, "not_execution_owner")
    refused(api.post("/v1/executions/nonsense/heartbeat"), 404, "execution_not_found")


@pytest.mark.parametrize("run", [NOBODY, "nonsense", "exec_123", "%00", "x" * 300])
def test_what_is_not_there_cannot_be_claimed(api: Api, run: str) -> None:
    refused(api.post(f"/v1/executions/{run}/claim", {"worker_id": "w"}), 409, "claim_failed")


@pytest.mark.parametrize("worker_id", [None, "", 5, "w" * 256, ["w"]])
def test_a_claim_names_its_worker(api: Api, worker_id: Any) -> None:
    run = fired(api)
    for path in (f"/v1/executions/{run}/claim", "/v1/executions/claim", "/v1/worker/heartbeat"):
        refused(api.post(path, {"worker_id": worker_id}), 422, "validation_error", "body.worker_id")
        refused(api.post(path), 422, "validation_error", "body.worker_id")
    assert Execution.objects.get().status == "pending"


def test_nothing_to_claim_is_a_conflict(api: Api, stranger: Api) -> None:
    refused(api.post("/v1/executions/claim", {"worker_id": "w"}), 409, "claim_failed")
    run = fired(api)
    refused(stranger.post("/v1/executions/claim", {"worker_id": "w"}), 409, "claim_failed")
    refused(stranger.post(f"/v1/executions/{run}/claim", {"worker_id": "w"}), 409, "claim_failed")
    assert stranger.get("/v1/executions/claimable").json() == {"executions": []}


def test_who_is_past_the_monthly_limit_is_told_so(api: Api) -> None:
    run = fired(api)
    Account.objects.update(monthly_execution_limit=1)
    started = clock.now() - timedelta(hours=25)
    month = month_of(clock.now())
    MonthlyUsage.objects.create(account=api.account, month=month, executions=1, limit_reached_at=started)
    for path in ("/v1/executions/claim", f"/v1/executions/{run}/claim"):
        error = refused(api.post(path, {"worker_id": "w"}), 409, "claim_failed")
        assert "Monthly execution limit reached" in error["message"], path


def test_a_claim_sent_twice_under_one_key_is_one_claim(api: Api) -> None:
    fired(api)
    first, second = (
        api.post("/v1/executions/claim", {"worker_id": "w", "wait": 1}, idempotency_key="k") for _ in range(2)
    )
    assert (first.status_code, second.json()) == (200, first.json())
    assert Execution.objects.get().attempts == 1


def test_a_worker_may_be_named_in_any_script(api: Api) -> None:
    for name in ("工人-1", "é"):
        run = fired(api)
        assert api.post(f"/v1/executions/{run}/claim", {"worker_id": name}).status_code == 200
        as_sent = name.encode().decode("latin-1")  # what a server in front makes of the header's bytes
        for spelled in (as_sent, name) if name == "é" else (as_sent,):
            assert api.post(f"/v1/executions/{run}/heartbeat", x_worker_id=spelled).status_code == 200
        api.delete(f"/v1/cues/{Execution.objects.get().cue_id}")


@pytest.mark.parametrize("worker_id", ["heartbeat", "register", "a\nb"])
def test_a_name_that_no_path_could_hold_is_refused(api: Api, worker_id: str) -> None:
    refused(api.post("/v1/workers", {"worker_id": worker_id}), 422, "validation_error", "body.worker_id")


# --- Workers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["worker/heartbeat", "workers/heartbeat", "workers", "workers/register"])
def test_each_spelling_of_the_heartbeat_registers(api: Api, path: str) -> None:
    answer = api.post(f"/v1/{path}", {"worker_id": "a.b/c d", "handlers": ["digest"]}).json()
    assert answer["acknowledged"] is True
    listed = api.get("/v1/workers").json()
    (worker,) = listed["workers"]
    assert listed["total"] == 1
    assert (worker["worker_id"], worker["handlers"], worker["heartbeat_status"]) == ("a.b/c d", ["digest"], "active")
    assert worker["last_heartbeat"] == worker["registered_since"] == answer["server_time"]
    assert worker["seconds_since_heartbeat"] == 0


@pytest.mark.parametrize("handlers", ["digest", [5], ["x" * 256], ["x"] * 1001, {}])
def test_handlers_are_a_list_of_names(api: Api, handlers: Any) -> None:
    answer = api.post("/v1/worker/heartbeat", {"worker_id": "w", "handlers": handlers})
    refused(answer, 422, "validation_error", "body.handlers")
    assert not Worker.objects.exists()


@pytest.mark.parametrize("spelled", ["a.b/c%20d", "a.b%2Fc%20d"])
def test_a_worker_is_forgotten_by_its_name(api: Api, stranger: Api, spelled: str) -> None:
    api.post("/v1/workers", {"worker_id": "a.b/c d"})
    refused(stranger.delete(f"/v1/workers/{spelled}"), 404, "worker_not_found")
    assert api.delete(f"/v1/workers/{spelled}").status_code == 204
    refused(api.delete(f"/v1/workers/{spelled}"), 404, "worker_not_found")


def test_health_counts_the_workers_that_live(api: Api, anyone: Api) -> None:
    def seen() -> tuple[str, int]:
        health = anyone.get("/health").json()
        return health["services"]["worker"], health["workers"]["active_count"]

    assert seen() == ("none", 0)
    api.post("/v1/workers", {"worker_id": "w"})
    assert seen() == ("ok", 1)
    Worker.objects.update(last_heartbeat_at=make.NOW.replace(year=2020))
    assert seen() == ("stale", 0)


def test_the_creator_of_work_for_workers_is_told_when_there_are_none(api: Api, stranger: Api) -> None:
    def warning(name: str) -> str | None:
        body = make.body(name=name, transport="worker", callback=None)
        told: str | None = api.post("/v1/cues", body).json()["warning"]
        return told

    stranger.post("/v1/workers", {"worker_id": "w"})
    assert "No active workers" in str(warning("a"))
    api.post("/v1/workers", {"worker_id": "w"})
    assert warning("b") is None


# --- Waiting ----------------------------------------------------------------------------------------------------


@waits
@pytest.mark.parametrize(("method", "path"), [("GET", "claimable?wait=20"), ("POST", "claim")])
def test_a_waiter_is_answered_when_work_appears(api: Api, method: str, path: str) -> None:
    body = {"worker_id": "w", "wait": 20} if method == "POST" else None
    run = fired(api)
    cue_id = Execution.objects.get().cue_id
    api.post(f"/v1/executions/{run}/claim", {"worker_id": "w"})
    started = threading.Event()

    def wait() -> tuple[Any, Any]:
        started.set()
        return Api(api.key).send(method, f"/v1/executions/{path}", body), clock.now()

    def fire() -> Any:
        started.wait(5)
        return api.post(f"/v1/cues/{cue_id}/fire").json()["id"], clock.now()

    (answer, answered_at), (new, fired_at) = at_once([wait, fire])
    assert new in answer.content.decode()
    assert (answered_at - fired_at).total_seconds() < 5  # far from the 20 s it would have waited


@waits
def test_of_many_waiters_one_gets_the_work_and_the_others_are_told_in_time(api: Api) -> None:
    fired(api)
    answers = at_once(
        [lambda n=n: Api(api.key).post("/v1/executions/claim", {"worker_id": f"w{n}", "wait": 0.3}) for n in range(5)]
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]


@waits
def test_future_work_answers_a_waiter_when_it_comes_due(api: Api) -> None:
    fired(api)
    soon = clock.now().timestamp() + 0.6
    Execution.objects.update(scheduled_for=clock.now().fromtimestamp(soon, clock.now().tzinfo))
    answer = api.post("/v1/executions/claim", {"worker_id": "w", "wait": 8})
    assert answer.status_code == 200
    assert clock.now().timestamp() - soon < 4


@waits
def test_who_comes_when_the_house_is_full_is_answered_at_once(api: Api, settings: Any) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"long_poll_waiters_max": 0})
    before = clock.now()
    refused(api.post("/v1/executions/claim", {"worker_id": "w", "wait": 20}), 409, "claim_failed")
    assert api.get("/v1/executions/claimable", wait=20).json() == {"executions": []}
    assert (clock.now() - before).total_seconds() < 10


@pytest.mark.parametrize("wait", ["x", "-1", "", "1.2.3", "9999999", "NaN", "Infinity"])
def test_a_wait_is_a_number_of_seconds(api: Api, wait: str) -> None:
    refused(api.get("/v1/executions/claimable", wait=wait), 422, "validation_error", "query.wait")


@pytest.mark.parametrize("wait", ["20", -1, True, 1e9, {}])
def test_so_it_is_in_a_body(api: Api, wait: Any) -> None:
    refused(api.post("/v1/executions/claim", {"worker_id": "w", "wait": wait}), 422, "validation_error", "body.wait")


def test_a_lost_lease_wakes_those_who_wait(api: Api) -> None:
    fired(api)
    api.post("/v1/executions/claim", {"worker_id": "w"})
    assert Execution.objects.get().status == Status.DELIVERING
    api.post("/v1/workers", {"worker_id": "w"})
    api.delete("/v1/workers/w")
    eventually(lambda: api.get("/v1/executions/claimable").json()["executions"])
