"""Contract 14: what the reference implementation gets wrong, one test for each of its lines, over the API.

The number in a name is the line's. The finer cases are in the tests of the modules.
"""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core.management import call_command
from django.db import connection

from cueapi import clock
from cueapi.models import Account, ApiKey, MonthlyUsage
from cues import schedule
from cues.models import Cue
from executions import firing, notifications, recovery
from executions.models import Alert, Execution, Notification
from executions.states import Status
from tests.support import login, make
from tests.support.api import Api
from tests.support.envelope import refused
from tests.support.make import NOW
from tests.support.receiver import Answer, Receiver
from tests.support.resolver import Resolver
from tests.support.together import at_once
from tests.support.worker import Worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

MINUTE = timedelta(minutes=1)


def create(api: Api, **fields: Any) -> str:
    answer = api.post("/v1/cues", make.body(**{"name": f"cue {Cue.objects.count()}"} | fields))
    assert answer.status_code == 201, answer.content
    return str(answer.json()["id"])


def pulled(api: Api, **fields: Any) -> str:
    """A cue for pulling workers that no schedule fires soon."""
    return create(api, **{"transport": "worker", "schedule": {"type": "recurring", "cron": "0 0 1 1 *"}} | fields)


def fire(api: Api, cue_id: str, **body: Any) -> str:
    answer = api.post(f"/v1/cues/{cue_id}/fire", body)
    assert answer.status_code == 200, answer.content
    return str(answer.json()["id"])


def ask(api: Api, run: str, worker_id: str = "w") -> Any:
    return api.post(f"/v1/executions/{run}/claim", {"worker_id": worker_id})


def claim(api: Api, run: str) -> None:
    assert ask(api, run).status_code == 200


def heartbeat(api: Api, worker_id: str = "w") -> None:
    assert api.post("/v1/worker/heartbeat", {"worker_id": worker_id}).status_code == 200


def claimable(api: Api, **query: Any) -> list[str]:
    return [item["execution_id"] for item in api.get("/v1/executions/claimable", **query).json()["executions"]]


def status_of(run: str) -> str:
    return str(Execution.objects.get(pk=run).status)


def send_mails() -> None:
    notifications.send_due(Notification.objects.all(), now=clock.now())


def test_00_a_clean_install_has_every_column_the_models_use(anyone: Api) -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)
    api = Api(anyone.post("/v1/auth/register", {"email": "ada@example.org"}).json()["api_key"])
    run = fire(api, create(api))
    assert api.post(f"/v1/executions/{run}/outcome", {"success": True}).status_code == 200
    assert api.patch(f"/v1/executions/{run}/evidence", {"external_id": "m:1"}).status_code == 200
    code = {"device_code": "ABCD-1234"}
    assert anyone.post("/v1/auth/device-code", code).status_code == 201
    assert anyone.post("/v1/auth/device-code/submit-email", code | {"email": "ada@example.org"}).status_code == 200


def test_01_two_workers_never_own_one_execution(api: Api) -> None:
    run = fire(api, pulled(api))
    answers = at_once([lambda n=n: ask(Api(api.key), run, f"w{n}") for n in range(4)])
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]


def test_02_a_long_handler_of_a_live_worker_keeps_its_execution(api: Api) -> None:
    with time_machine.travel(NOW, tick=False) as traveller:
        run = fire(api, pulled(api))
        claim(api, run)
        for _ in range(20):
            traveller.shift(3 * MINUTE - timedelta(seconds=1))
            heartbeat(api)
            recovery.sweep(now=clock.now())
    assert (status_of(run), Execution.objects.get(pk=run).attempts) == ("delivering", 1)


def test_03_a_renewed_lease_is_honoured(api: Api) -> None:
    with time_machine.travel(NOW, tick=False) as traveller:
        run = fire(api, pulled(api))
        claim(api, run)
        traveller.shift(14 * MINUTE)
        assert api.post(f"/v1/executions/{run}/heartbeat", {}).status_code == 200
        traveller.shift(14 * MINUTE)
        recovery.sweep(now=clock.now())
        assert status_of(run) == "delivering"
        traveller.shift(2 * MINUTE)
        recovery.sweep(now=clock.now())
    assert status_of(run) == "pending"


def test_04_reclaimed_work_has_a_fresh_clock_and_is_not_missed(api: Api) -> None:
    with time_machine.travel(NOW, tick=False) as traveller:
        run = fire(api, pulled(api))
        claim(api, run)
        traveller.shift(16 * MINUTE)
        recovery.sweep(now=clock.now())
        recovery.sweep(now=clock.now())
        assert (status_of(run), claimable(api)) == ("pending", [run])
        traveller.shift(16 * MINUTE)
        recovery.sweep(now=clock.now())
    assert status_of(run) == "missed"


def test_05_a_future_fire_is_hidden_from_workers_until_due(api: Api) -> None:
    with time_machine.travel(NOW, tick=False) as traveller:
        run = fire(api, pulled(api), send_at=(NOW + 60 * MINUTE).isoformat())
        traveller.shift(20 * MINUTE)
        recovery.sweep(now=clock.now())
        assert claimable(api) == []
        refused(ask(api, run), 409, "claim_failed")
        traveller.shift(40 * MINUTE)
        assert claimable(api) == [run]


def test_06_a_busy_task_does_not_hide_another(api: Api) -> None:
    busy, mine = pulled(api, name="busy", payload={"task": "busy"}), pulled(api, name="m", payload={"task": "mine"})
    for _ in range(51):
        fire(api, busy)
    run = fire(api, mine)
    assert claimable(api, task="mine") == [run]
    assert api.post("/v1/executions/claim", {"worker_id": "w", "task": "mine"}).json()["execution_id"] == run


def test_07_a_worker_s_failure_escalates(api: Api, mailoutbox: list) -> None:
    cue = pulled(api, on_failure={"email": True, "pause": True})
    run = fire(api, cue)
    claim(api, run)
    assert api.post(f"/v1/executions/{run}/outcome", {"success": False, "error": "disk full"}).status_code == 200
    send_mails()
    assert (status_of(run), Cue.objects.get().status, len(mailoutbox)) == ("failed", "paused", 1)


def test_08_a_lost_message_loses_no_job(api: Api, receiver: Receiver, worker: Worker) -> None:
    run = fire(api, create(api, callback={"url": receiver.url}))
    assert worker.drop()
    recovery.sweep(now=clock.now() + timedelta(seconds=61))
    worker.run()
    assert status_of(run) == "success"


def test_09_interrupted_attempts_count(api: Api) -> None:
    cue = make.recurring(api.account, max_attempts=2)
    run = make.execution(cue, status=Status.DELIVERING, attempts=2, last_attempt_at=NOW)
    recovery.sweep(now=NOW + 10 * MINUTE)
    assert status_of(str(run.pk)) == "failed"


def test_10_downtime_ends_in_one_run_not_in_a_storm(api: Api) -> None:
    cue = make.recurring(api.account)
    firing.fire_due([cue.pk], now=NOW + 122 * MINUTE)
    assert Execution.objects.count() == 1


def test_11_a_repeated_local_time_runs_once() -> None:
    before = datetime(2031, 11, 1, 12, tzinfo=UTC)
    timetable = schedule.cron_timetable("30 1 * * *", "America/New_York")
    first = timetable.next(before)
    assert first == datetime(2031, 11, 2, 5, 30, tzinfo=UTC)
    assert timetable.next(first) == datetime(2031, 11, 3, 6, 30, tzinfo=UTC)


@pytest.mark.parametrize("cron", ["0 0 30 2 *", "* * * * * *"])
def test_12_crons_that_never_come_due_or_name_seconds_are_refused(api: Api, cron: str) -> None:
    body = make.body(schedule={"type": "recurring", "cron": cron})
    refused(api.post("/v1/cues", body), 400, "invalid_schedule")


def test_13_firing_a_future_one_shot_by_hand_leaves_its_own_run_alone(
    api: Api, receiver: Receiver, worker: Worker
) -> None:
    at = (clock.now() + timedelta(days=1)).isoformat()
    cue = create(api, schedule={"type": "once", "at": at}, callback={"url": receiver.url})
    fire(api, cue)
    worker.run()
    shown = api.get(f"/v1/cues/{cue}").json()
    assert (shown["status"], shown["next_run"] is not None) == ("active", True)
    assert shown["executions"][0]["status"] == "success"


def test_14_a_finished_one_shot_comes_back_with_a_new_time_only(api: Api) -> None:
    cue = make.cue(api.account, status="completed", next_run=None)
    refused(api.patch(f"/v1/cues/{cue.pk}", {"status": "active"}), 400, "invalid_schedule")
    body = {"status": "active", "schedule": {"type": "once", "at": "2100-01-01T00:00:00Z"}}
    assert api.patch(f"/v1/cues/{cue.pk}", body).json()["next_run"] == "2100-01-01T00:00:00Z"


def test_15_a_patch_changes_what_it_names_and_nothing_else(api: Api) -> None:
    callback = {"url": make.NOWHERE, "method": "PUT", "headers": {"X-Team": "ops"}}
    zone = {"type": "recurring", "cron": "0 9 * * *", "timezone": "Europe/Paris"}
    path = f"/v1/cues/{create(api, callback=callback, schedule=zone, catch_up='replay_all')}"
    changed = api.patch(path, {"callback": {"url": f"{make.NOWHERE}/2"}, "schedule": {"cron": "0 8 * * *"}}).json()
    assert changed["callback"] == callback | {"url": f"{make.NOWHERE}/2"}
    assert changed["schedule"] == zone | {"cron": "0 8 * * *"}
    assert changed["catch_up"] == "replay_all_missed"
    delivery = {"timeout_seconds": 5, "outcome_deadline_seconds": 60}
    assert api.patch(path, {"delivery": delivery}).json()["delivery"] == delivery
    create(api, name="taken")
    refused(api.patch(path, {"name": "taken"}), 409, "duplicate_cue_name")
    refused(api.patch(path, {"name": "n" * 256}), 422, "validation_error", "body.name")
    refused(api.patch(path, {"callback": {"method": "BREW"}}), 422, "validation_error", "body.callback.method")
    refused(api.patch(path, {"schedule": {"type": "sometimes"}}), 400, "invalid_schedule")
    refused(
        api.post("/v1/cues", make.body(name="b", callback={"url": make.NOWHERE, "method": "BREW"})),
        422,
        "validation_error",
    )
    run = fire(api, path.rpartition("/")[2], payload_override={"n": 1})
    assert api.get(f"/v1/executions/{run}").json()["payload"] == {"n": 1}


def test_16_odd_input_is_an_answer_not_a_crash(api: Api, stranger: Api) -> None:
    cue = create(api)
    run = fire(api, cue, send_at="2100-01-01T00:00:00Z")
    assert run != fire(api, cue, send_at="2100-01-01T00:00:00Z")
    refused(api.get("/v1/executions/not-a-uuid"), 404, "execution_not_found")
    path = f"/v1/executions/{run}"
    refused(api.post(f"{path}/outcome", {"success": True, "external_id": "x" * 501}), 422, "validation_error")
    refused(api.post(f"{path}/outcome", {"success": True, "artifacts": "no list"}), 422, "validation_error")
    refused(api.post("/v1/echo/qs-0123456789abcdef", b"{not json"), 400, "invalid_json")
    refused(api.patch("/v1/auth/me", {"email": stranger.account.email}), 409, "duplicate_email")


def test_17_every_run_is_counted_and_the_grace_starts_once_a_month(
    api: Api, receiver: Receiver, worker: Worker
) -> None:
    Account.objects.update(plan="free", monthly_execution_limit=2)
    run = fire(api, pulled(api))
    claim(api, run)
    cue = create(api, callback={"url": receiver.url})
    fire(api, cue)
    worker.run()
    assert api.get("/v1/usage").json()["executions"]["used"] == 2
    fire(api, cue)
    worker.run()
    assert len(receiver.received) == 2  # within the grace
    started_at = MonthlyUsage.objects.get().limit_reached_at
    MonthlyUsage.objects.update(limit_reached_at=started_at - timedelta(hours=24))
    late = fire(api, cue)
    worker.run()
    assert (len(receiver.received), status_of(late)) == (2, "failed")
    assert "Monthly execution limit reached" in api.get(f"/v1/executions/{late}").json()["error_message"]
    assert MonthlyUsage.objects.get().limit_reached_at == started_at - timedelta(hours=24)


def test_18_four_thousand_characters_of_output_are_cut_not_refused(api: Api) -> None:
    run = fire(api, pulled(api))
    claim(api, run)
    assert api.post(f"/v1/executions/{run}/outcome", {"success": True, "result": "x" * 4096}).status_code == 200
    assert len(api.get(f"/v1/executions/{run}").json()["outcome"]["result"]) == 2000


def test_19_failed_deliveries_raise_one_alert_a_streak(api: Api, receiver: Receiver, worker: Worker) -> None:
    receiver.default = Answer(500)
    cue = create(api, callback={"url": receiver.url}, retry={"max_attempts": 1})
    for _ in range(4):
        fire(api, cue)
        worker.run()
    (alert,) = api.get("/v1/alerts").json()["alerts"]
    assert (alert["alert_type"], alert["metadata"]["consecutive_failures"]) == ("consecutive_failures", 3)
    assert Alert.objects.count() == 1


def test_20_retry_after_is_honoured_and_signatures_cannot_be_replaced(
    api: Api, receiver: Receiver, worker: Worker
) -> None:
    receiver.will_answer(Answer(503, headers={"Retry-After": "3600"}))
    callback = {"url": receiver.url, "method": "GET", "headers": {"X-Team": "ops"}}
    run = fire(api, create(api, callback=callback, retry={"max_attempts": 2, "backoff_minutes": [0]}))
    worker.run()
    waits = Execution.objects.get(pk=run).due_at - clock.now()
    assert timedelta(minutes=59) < waits <= timedelta(minutes=60)
    assert receiver.received[0].headers["X-CueAPI-Signature"].startswith("v1=")
    forged = make.body(name="f", callback=callback | {"headers": {"X-CueAPI-Signature": "v1=00"}})
    refused(api.post("/v1/cues", forged), 422, "validation_error")
    assert api.post(f"/v1/executions/{run}/outcome", {"success": True}).status_code == 200
    recovery.sweep(now=clock.now() + timedelta(hours=2))
    worker.run()
    assert (len(receiver.received), status_of(run)) == (1, "success")


def test_21_a_name_that_changes_between_check_and_connect_gains_nothing(
    api: Api, resolver: Resolver, worker: Worker
) -> None:
    resolver["hooks.example.org"] = ["93.184.215.14"]
    cue = create(
        api, callback={"url": "https://hooks.example.org/x"}, on_failure={"webhook": "https://hooks.example.org/f"}
    )
    resolver["hooks.example.org"] = ["10.0.0.1"]
    Cue.objects.update(max_attempts=1)
    run = fire(api, cue)
    worker.run()
    assert "10.0.0.1" not in str(api.get(f"/v1/executions/{run}").json()["attempt_log"][0]["url"])
    assert (status_of(run), Execution.objects.get(pk=run).http_status) == ("failed", None)
    assert Notification.objects.get(kind="webhook").state != "sent"


def test_22_a_device_code_cannot_write_into_the_page(anyone: Api) -> None:
    hostile = "\"><script>alert(1)</script>'-alert(1)-'"
    answer = anyone.get("/auth/device", code=hostile)
    assert answer.headers["Content-Type"].startswith("text/html")
    page = answer.content.decode()
    assert "<script>alert" not in page
    assert not re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", page)


def test_23_an_account_made_by_register_can_log_in(anyone: Api, api: Api, caplog: pytest.LogCaptureFixture) -> None:
    answer = login.approved(anyone, caplog, email=api.account.email)
    assert (answer["email"], answer.get("existing_user")) == (api.account.email, None)
    assert Api(answer["api_key"]).get("/v1/auth/me").json()["email"] == api.account.email
    assert api.get("/v1/auth/me").status_code == 200  # the first key works on


def test_24_secrets_are_not_at_rest_in_the_clear_nor_in_messages(api: Api, receiver: Receiver, worker: Worker) -> None:
    secret = api.get("/v1/auth/webhook-secret").json()["webhook_secret"]
    token = "Bearer of-the-receiver"
    fire(api, create(api, callback={"url": receiver.url, "headers": {"Authorization": token}}))
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            cursor.execute(f'SELECT * FROM "{table}"')
            text = str(cursor.fetchall())
            assert secret not in text and token not in text and str(api.key) not in text, table
    messages = json.dumps(worker.waiting())
    assert secret not in messages and token not in messages


def test_25_guessing_keys_is_limited_by_address(anyone: Api, settings: Any) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"default_plan": "free"})
    guesses = [Api(f"cue_sk_{n:032x}").get("/v1/auth/me").status_code for n in range(61)]
    assert (set(guesses[:60]), guesses[60]) == ({401}, 429)


def test_26_a_cue_for_now_does_not_wait_for_a_poll(api: Api, receiver: Receiver, worker: Worker) -> None:
    create(api, schedule={"type": "one-time", "at": None}, callback={"url": receiver.url})
    worker.run()  # no beat, no sweep
    assert len(receiver.received) == 1


def test_27_the_cue_limit_holds_when_many_create_at_once(api: Api) -> None:
    Account.objects.update(active_cue_limit=2)
    answers = at_once([lambda n=n: Api(api.key).post("/v1/cues", make.body(name=f"c{n}")) for n in range(5)])
    assert sorted(answer.status_code for answer in answers) == [201, 201, 403, 403, 403]


def test_28_small_things(api: Api, anyone: Api, receiver: Receiver, worker: Worker, mailoutbox: list) -> None:
    stamp = anyone.get("/health").json()["timestamp"]
    assert datetime.fromisoformat(stamp).utcoffset() == timedelta(0) and not stamp.endswith("+00:00Z")
    bare = f"http://127.0.0.1:{receiver.port}"
    shown = api.get(f"/v1/cues/{create(api, name='bare', callback={'url': bare})}").json()
    assert shown["callback"]["url"] == bare
    refused(api.get("/v1/nowhere"), 404, "not_found")
    receiver.default = Answer(500)
    for name in ("test-x", "verify-x", "e2e-x"):
        fire(api, create(api, name=name, callback={"url": receiver.url}, retry={"max_attempts": 1}))
    worker.run()
    send_mails()
    assert len([mail for mail in mailoutbox if "failed" in mail.subject]) == 3
    assert ApiKey.objects.count() == 1
