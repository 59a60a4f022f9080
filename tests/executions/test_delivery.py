"""One lane: claimed by one sender, sent over real HTTP, recorded once (contract 6.4 to 6.6)."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from cueapi import accounts, usage
from cueapi.models import Account
from cueapi.signing import signature
from cues.models import Cue
from executions import delivery, destinations, lanes, outcomes, recording, recovery
from executions.flight import Flight, Threads
from executions.lanes import Lane
from executions.models import Alert, Attempt, Destination, Execution, Notification, Step
from executions.states import Status, Trigger
from executions.transports.webhook import Delivery, Result
from executions.visits import Visits
from tests.support import make
from tests.support.deadline import eventually
from tests.support.make import NOW
from tests.support.receiver import Answer, Received, Receiver
from tests.support.together import at_once
from tests.support.worker import Worker

pytestmark = [pytest.mark.django_db, pytest.mark.database]

MINUTE = timedelta(minutes=1)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
QUERIES_OF_A_LANE = 60  # about 12 to claim, 14 to record, twice or three times


@pytest.fixture
def cue(receiver: Receiver) -> Cue:
    return make.cue(make.account(), callback_url=receiver.url, next_run=None, backoff_minutes=[1, 5])


def deliver(execution: Execution, now=NOW) -> Execution:
    delivery.drain(Lane.of(execution), tick=lambda: now)
    return Execution.objects.get(pk=execution.pk)


def claim(execution: Execution, now=NOW) -> Sequence[Delivery]:
    return delivery.take(Lane.of(execution), now=now).deliveries


def lane_of(cue: Cue) -> Lane:
    return Lane(cue.account_id, cue.lane)


def log(execution: Execution) -> list[tuple]:
    return list(execution.attempt_log.order_by("number").values_list("number", "http_status", "error_stage"))


def test_a_2xx_is_a_success_with_everything_written_down(cue: Cue, receiver: Receiver) -> None:
    receiver.default = Answer(204, headers={"Via": "hook/1"})
    execution = deliver(make.execution(cue))
    assert (execution.status, execution.http_status, execution.attempts) == ("success", 204, 1)
    assert execution.started_at == execution.delivered_at == execution.last_attempt_at == execution.closed_at == NOW
    attempt = execution.attempt_log.get()
    assert (attempt.number, attempt.url, attempt.response_headers["via"]) == (1, receiver.url, "hook/1")
    cue.refresh_from_db()
    assert (cue.run_count, cue.last_run) == (1, NOW)
    assert usage.this_month(cue.account_id, now=NOW) == 1


@pytest.mark.parametrize("status", [301, 400, 404, 500, 503])
def test_anything_else_is_retried_after_the_cues_own_wait(cue: Cue, receiver: Receiver, status: int) -> None:
    receiver.default = Answer(status, "sorry")
    execution = deliver(make.execution(cue))
    assert (execution.status, execution.due_at, execution.http_status) == ("retrying", NOW + MINUTE, status)
    assert (execution.response_body, execution.delivered_at) == ("sorry", None)
    assert log(execution) == [(1, status, "status")]


def test_attempts_are_numbered_and_end_at_the_cues_maximum(cue: Cue, receiver: Receiver) -> None:
    receiver.default = Answer(500)
    execution, now = make.execution(cue), NOW
    for _ in range(5):
        now += 10 * MINUTE
        execution = deliver(execution, now)
    assert (execution.status, execution.attempts) == ("failed", 3)
    assert [webhook.json["attempt"] for webhook in receiver.received] == [1, 2, 3]
    assert [webhook.headers["X-CueAPI-Attempt"] for webhook in receiver.received] == ["1", "2", "3"]
    assert log(execution) == [(1, 500, "status"), (2, 500, "status"), (3, 500, "status")]


NO_RETRY = {"X-CueAPI-No-Retry": "true"}


@pytest.mark.parametrize("answer", [Answer(410), Answer(503, headers=NO_RETRY | {"Retry-After": "5"})])
@pytest.mark.parametrize("deadline_s", [None, 60])
def test_a_receiver_ends_the_retries_and_everybody_is_told(
    cue: Cue, receiver: Receiver, answer: Answer, deadline_s: int | None
) -> None:
    Cue.objects.update(
        on_failure_webhook="http://127.0.0.1:9/failed", alert_consecutive_failures=1, outcome_deadline_s=deadline_s
    )
    receiver.default = answer
    execution = deliver(make.execution(cue))
    assert (execution.status, execution.attempts, execution.closed_at) == ("failed", 1, NOW)
    assert "asked for no more tries" in (execution.error_message or "")
    last = execution.steps.last()
    assert last.after == "failed" and last.reason.startswith(
        "attempt 1 of 3 failed, and the receiver asked for no more"
    )
    assert set(Notification.objects.filter(execution=execution).values_list("kind", flat=True)) == {"email", "webhook"}
    assert Alert.objects.get().alert_type == "consecutive_failures"
    deliver(execution, NOW + 60 * MINUTE)
    assert len(receiver.received) == 1


@pytest.mark.parametrize("answer", [Answer(410), Answer(500, headers=NO_RETRY)])
def test_an_operator_may_keep_to_the_contract_which_retries_every_failure(
    cue: Cue, receiver: Receiver, answer: Answer, settings
) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"receiver_may_end_retries": False})
    receiver.default = answer
    assert deliver(make.execution(cue)).status == "retrying"


def test_a_wait_is_lengthened_by_the_cues_jitter_and_never_below_retry_after(cue: Cue, receiver: Receiver) -> None:
    Cue.objects.update(retry_jitter=0.5)
    receiver.will_answer(Answer(500), Answer(429, headers={"Retry-After": "600"}))
    plain, asked = (deliver(make.execution(cue)) for _ in range(2))
    assert plain.due_at is not None and asked.due_at is not None
    assert MINUTE < plain.due_at - NOW < 1.5 * MINUTE
    assert 10 * MINUTE < asked.due_at - NOW < 15 * MINUTE


@pytest.mark.parametrize("retry_after", ["Sun, 04 May 2031 09:02:00 +99999999999999999999", "9" * 5000, "-1"])
def test_an_absurd_retry_after_leaves_the_attempt_as_it_was(cue: Cue, receiver: Receiver, retry_after: str) -> None:
    receiver.default = Answer(503, headers={"Retry-After": retry_after})
    assert log(deliver(make.execution(cue))) == [(1, 503, "status")]


def test_nothing_listens_and_the_attempt_says_so() -> None:
    execution = deliver(make.execution(make.cue(make.account())))
    assert (execution.status, log(execution)) == ("retrying", [(1, None, "connect")])
    assert execution.error_message


def test_a_retry_is_not_sent_before_its_time(cue: Cue, receiver: Receiver) -> None:
    execution = make.execution(cue, status=Status.RETRYING, attempts=1, due_at=NOW + MINUTE)
    assert deliver(execution).status == "retrying"
    assert receiver.received == []
    assert deliver(execution, NOW + MINUTE).attempts == 2


def test_a_clock_that_is_a_moment_behind_does_not_lose_the_message(cue: Cue, receiver: Receiver) -> None:
    deliver(make.execution(cue), NOW - timedelta(milliseconds=200))
    assert len(receiver.received) == 1


def test_retry_after_lengthens_the_wait(cue: Cue, receiver: Receiver) -> None:
    receiver.default = Answer(429, headers={"Retry-After": "600"})
    assert deliver(make.execution(cue)).due_at == NOW + 10 * MINUTE


@pytest.mark.parametrize("status", ["delivering", "pending_outcome", "success", "failed", "missed", "outcome_timeout"])
def test_what_somebody_has_or_had_is_not_sent(cue: Cue, receiver: Receiver, status: str) -> None:
    deliver(make.execution(cue, status=status))
    assert receiver.received == []


def test_an_edited_url_and_secret_take_effect_on_the_next_attempt(cue: Cue, receiver: Receiver) -> None:
    receiver.will_answer(Answer(500))
    execution = deliver(make.execution(cue, payload={"a": 1}))
    Cue.objects.update(callback_url=receiver.url_for("/new"), payload={"a": 2})
    secret = accounts.regenerate_webhook_secret(Account.objects.get(), now=NOW)
    deliver(execution, NOW + MINUTE)
    first, second = receiver.received
    assert (first.path, second.path) == ("/hook", "/new")
    assert second.json["payload"] == {"a": 1}  # fixed at birth
    assert second.headers["X-CueAPI-Signature"] == signature(secret, second.headers["X-CueAPI-Timestamp"], second.body)


def test_a_bug_in_the_sender_is_a_failed_attempt(cue: Cue) -> None:
    Cue.objects.filter(pk=cue.pk).update(callback_headers={"X-Odd": 5})  # no door lets a number through
    execution = deliver(make.execution(cue))
    assert (execution.status, log(execution)) == ("retrying", [(1, None, "internal")])


def test_a_cue_deleted_while_in_flight_leaves_no_trace(cue: Cue, receiver: Receiver) -> None:
    def delete_then_answer(_: object) -> Answer:
        gone.set()
        return Answer(500, wait=deleted)

    gone, deleted = threading.Event(), threading.Event()
    receiver.default = delete_then_answer
    (claimed,) = claim(make.execution(cue))
    sending = ThreadPoolExecutor(1).submit(delivery._send, claimed, tick=lambda: NOW)
    assert gone.wait(10)
    cue.delete()
    deleted.set()
    recording.record([sending.result(10)], now=NOW)
    assert not Attempt.objects.exists()


def test_a_recorder_that_comes_after_the_recovery_changes_nothing(cue: Cue) -> None:
    execution = make.execution(cue)
    (claimed,) = claim(execution)
    later = NOW + 10 * MINUTE
    assert recovery.end_interrupted(later) == 1
    for again in (1, 2):  # in the wait for attempt 2, and while it is in flight
        recording.record([Result(claimed, NOW, 5, http_status=200)], now=later)
        if again == 1:
            claim(execution, later + MINUTE)
    execution.refresh_from_db()
    assert (execution.status, execution.attempts, execution.delivered_at) == ("delivering", 2, None)
    assert log(execution) == [(1, None, "interrupted")]


def test_recording_twice_changes_nothing_more(cue: Cue) -> None:
    execution = make.execution(cue)
    (claimed,) = claim(execution)
    for _ in range(2):
        recording.record([Result(claimed, NOW, 5, http_status=500, error_stage="status")], now=NOW)
    execution.refresh_from_db()
    assert (execution.status, execution.steps.count(), len(log(execution))) == ("retrying", 2, 1)


def test_over_the_accounts_cap_work_waits_and_is_delivered_later(
    cue: Cue, receiver: Receiver, settings, django_capture_on_commit_callbacks
) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"max_concurrent_deliveries_per_user": 2})
    busy = [make.execution(cue, lane="http://busy.example", status=Status.DELIVERING) for _ in range(2)]
    waiting = make.execution(cue)
    with django_capture_on_commit_callbacks(execute=False) as later:
        assert deliver(waiting).status == "pending"
    assert len(later) == 1  # the lane is looked at again soon
    Execution.objects.filter(pk=busy[0].pk).delete()
    assert deliver(waiting).status == "success"


@pytest.mark.django_db(transaction=True)
def test_a_lane_that_keeps_everybody_waiting_is_left_and_comes_back(
    cue: Cue, receiver: Receiver, settings, monkeypatch, worker: Worker
) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"lane_concurrency": 2})
    monkeypatch.setattr(delivery, "PATIENCE_S", 0.2)
    hold = threading.Event()
    receiver.default = Answer(200, wait=hold)
    for _ in range(5):
        make.execution(cue, due_at=LONG_AGO)
    delivery.drain(lane_of(cue), tick=lambda: NOW)
    assert len(receiver.received) == 2
    assert Execution.objects.filter(status=Status.PENDING).count() == 3
    hold.set()

    def all_done() -> bool:
        worker.run()
        return Execution.objects.filter(status=Status.SUCCESS).count() == 5

    eventually(all_done, what="the rest")
    assert len({webhook.json["execution_id"] for webhook in receiver.received}) == 5


@pytest.mark.django_db(transaction=True)
def test_what_was_claimed_and_not_sent_waits_again_and_does_not_count(
    cue: Cue, receiver: Receiver, settings, monkeypatch
) -> None:
    monkeypatch.setattr(delivery, "PATIENCE_S", 0.2)
    monkeypatch.setattr(destinations, "is_fast", lambda destination: True)
    hold = threading.Event()
    receiver.default = Answer(200, wait=hold)
    first = [make.execution(cue, due_at=LONG_AGO) for _ in range(5)]
    again = make.execution(cue, due_at=LONG_AGO, status=Status.RETRYING, attempts=1)
    delivery.drain(lane_of(cue), tick=lambda: NOW)
    sent = {webhook.json["execution_id"] for webhook in receiver.received}
    back = [Execution.objects.get(pk=e.pk) for e in [*first, again] if str(e.pk) not in sent]
    assert len(back) == 3
    for execution in back:
        was = 1 if execution.pk == again.pk else 0
        assert (execution.status, execution.attempts) == ("retrying" if was else "pending", was)
        assert list(execution.steps.values_list("reason", flat=True))[-1] == "handed back before it was sent"
    cue.refresh_from_db()
    assert cue.run_count == 0
    hold.set()
    eventually(lambda: Execution.objects.filter(status="success").count() == 3, what="those that were sent")


@pytest.mark.django_db(transaction=True)
def test_what_was_claimed_is_sent_although_the_time_to_claim_is_over(cue: Cue, receiver: Receiver, monkeypatch) -> None:
    monkeypatch.setattr(delivery, "SLICE_S", 0.0)
    monkeypatch.setattr(delivery, "GATHER_S", 0.0)
    monkeypatch.setattr(destinations, "is_fast", lambda destination: True)
    for _ in range(20):
        make.execution(cue, due_at=LONG_AGO)
    delivery.drain(lane_of(cue), tick=lambda: NOW)
    eventually(lambda: Execution.objects.filter(status="success").count() == 20, what="all of them")
    assert not Step.objects.filter(reason__startswith="handed back").exists()


@pytest.mark.django_db(transaction=True)
def test_several_that_drain_a_lane_at_once_send_each_execution_once(cue: Cue, receiver: Receiver) -> None:
    ids = [make.execution(cue).pk for _ in range(30)]
    processes = [Visits() for _ in range(3)]
    at_once([partial(delivery.drain, lane_of(cue), tick=lambda: NOW, visits=visits) for visits in processes])
    assert sorted(webhook.json["execution_id"] for webhook in receiver.received) == sorted(map(str, ids))
    assert set(Execution.objects.values_list("status", "attempts")) == {("success", 1)}
    assert Attempt.objects.count() == 30
    cue.refresh_from_db()
    assert cue.run_count == 30


@pytest.mark.django_db(transaction=True)
def test_who_comes_to_a_lane_that_is_being_drained_leaves_and_its_work_is_done_all_the_same(
    cue: Cue, receiver: Receiver
) -> None:
    comer = threading.Thread(target=come_with_more, args=(cue,))

    def answer(received: Received) -> Answer:
        if not comer.ident:
            comer.start()
            comer.join()
        return Answer()

    receiver.default = answer
    make.execution(cue)
    delivery.drain(lane_of(cue), tick=lambda: NOW)
    assert list(Execution.objects.values_list("status", "attempts")) == [("success", 1)] * 2


def come_with_more(cue: Cue) -> None:
    """Ends at once: it would wait for the receiver, which waits for it."""
    make.execution(cue)
    delivery.drain(lane_of(cue), tick=lambda: NOW)
    connection.close()


class DoneAtOnce(Threads):
    """Senders so quick that everything has landed before anybody looks."""

    def run(self, job: Callable[[], None]) -> None:
        job()


def test_what_lands_before_anybody_looks_does_not_end_the_visit(cue: Cue, monkeypatch, settings) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"lane_concurrency": 2})
    monkeypatch.setattr(delivery, "_senders", lambda: DoneAtOnce("at once", 1))
    runs = [make.execution(cue) for _ in range(5)]
    deliver(runs[0])
    assert set(Execution.objects.values_list("status", flat=True)) == {"success"}


@pytest.mark.django_db(transaction=True)
def test_what_has_landed_and_is_not_recorded_does_not_stand_in_its_own_way(cue: Cue, receiver, monkeypatch) -> None:
    monkeypatch.setattr(delivery, "GATHER_S", 0.0)
    monkeypatch.setattr(destinations, "is_fast", lambda destination: True)
    runs = [make.execution(cue) for _ in range(destinations.FAST_BATCH + 10)]

    visitor = threading.current_thread()

    def tick() -> datetime:
        """A machine so slow that all that is in the air lands before the visitor's next step."""
        if threading.current_thread() is visitor:
            eventually(lambda: not any(flight.count for flight in Flight.everyone), what="everything to land")
        return NOW

    delivery.drain(Lane.of(runs[0]), tick=tick)
    assert set(Execution.objects.values_list("status", flat=True)) == {"success"}


def test_a_full_batch_costs_few_queries_however_many_it_names(cue: Cue, receiver: Receiver, settings) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"lane_concurrency": 50})
    one_shots = [make.cue(cue.account, callback_url=receiver.url, next_run=None, last_slot=NOW) for _ in range(50)]
    for one_shot in one_shots:
        make.execution(one_shot, triggered_by=Trigger.SCHEDULED)
    with CaptureQueriesContext(connection) as queries:
        delivery.drain(lane_of(cue), tick=lambda: NOW)
    assert len(receiver.received) == 50
    assert set(Cue.objects.exclude(pk=cue.pk).values_list("status", "run_count", "last_run")) == {("completed", 1, NOW)}
    assert len(queries) <= QUERIES_OF_A_LANE


def test_a_full_lane_still_takes_up_a_retry(cue: Cue, receiver: Receiver, settings) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"lane_concurrency": 3})
    retry = make.execution(cue, status=Status.RETRYING, attempts=1)
    for _ in range(5):
        make.execution(cue)
    claimed = claim(retry)
    assert sorted(one.attempt for one in claimed) == [1, 1, 2]


def test_reports_and_attempts_use_the_same_row(cue: Cue, receiver: Receiver) -> None:
    """A handler that reports before its own 2xx is the usual case: neither overwrites the other."""
    execution = make.execution(cue)
    (claimed,) = claim(execution)
    outcomes.report(cue.account, execution.pk, {"success": True, "result": "sent"}, now=NOW)
    reply = {"success": False, "result": "from the reply"}
    recording.record([Result(claimed, NOW, 5, http_status=200, reported=reply)], now=NOW)
    execution.refresh_from_db()
    assert (execution.status, execution.outcome_success, execution.outcome_result) == ("success", True, "sent")


@pytest.mark.django_db(transaction=True)
def test_a_request_that_outlasts_its_slice_frees_the_worker_and_is_recorded_when_it_ends(
    cue: Cue, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "PATIENCE_S", 0.2)
    hold = threading.Event()
    receiver.default = Answer(200, wait=hold)
    execution = make.execution(cue)
    assert deliver(execution).status == "delivering"
    hold.set()
    eventually(lambda: Execution.objects.get().status == "success", what="the late record")
    assert log(execution) == [(1, 200, "")]


def test_one_that_was_in_flight_while_its_url_changed_goes_on_by_its_new_lane(cue: Cue, receiver: Receiver) -> None:
    execution = make.execution(cue, lane="http://old.example")
    (claimed,) = claim(execution)
    recording.record([Result(claimed, NOW, 5, error_stage="connect", error_message="refused")], now=NOW)
    execution.refresh_from_db()
    assert (execution.status, execution.lane) == ("retrying", cue.lane)
    assert list(Destination.objects.values_list("lane", "failures")) == [("http://old.example", 1)]


# --- A worker that stops ----------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("patience_s", "status", "ended"), [(20, "success", ""), (0.2, "retrying", "interrupted")])
def test_a_worker_that_stops_records_what_ends_in_time_and_gives_up_the_rest(
    cue: Cue, receiver: Receiver, settings, monkeypatch, patience_s: float, status: str, ended: str
) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"worker_stop_seconds": patience_s})
    monkeypatch.setattr(delivery, "PATIENCE_S", 0.1)
    monkeypatch.setattr(delivery, "_stopping", threading.Event())
    threads = Threads("sender", 4)  # its own: another test may have left one waiting
    monkeypatch.setattr(delivery, "_senders", lambda: threads)
    hold = threading.Event()
    receiver.default = Answer(200, wait=hold)
    execution = make.execution(cue)
    assert deliver(execution).status == "delivering"

    def let_go() -> None:
        if status == "success":
            hold.set()

    at_once([delivery.finish, let_go])
    assert (Execution.objects.get().status, log(execution)[0][2]) == (status, ended)
    hold.set()
    assert threads.wait(10)
    assert delivery._recorder().wait(10)
    assert (Execution.objects.get().status, len(log(execution))) == (status, 1)  # what comes later leaves no trace


# --- The monthly limit ------------------------------------------------------------------------------------------


def past_its_grace(cue: Cue, limit: int = 1) -> datetime:
    """The account of the cue reached its limit a day ago."""
    Account.objects.filter(pk=cue.account_id).update(monthly_execution_limit=limit)
    usage.add({Account.objects.get(): limit}, now=NOW)
    return NOW + usage.GRACE


@pytest.mark.parametrize(("status", "attempts"), [(Status.PENDING, 0), (Status.RETRYING, 1), (Status.RETRY_READY, 2)])
def test_past_the_grace_an_attempt_is_refused_and_escalates(
    cue: Cue, receiver: Receiver, status: Status, attempts: int
) -> None:
    now = past_its_grace(cue)
    execution = deliver(make.execution(cue, status=status, attempts=attempts), now)
    assert (execution.status, execution.attempts, receiver.received) == ("failed", attempts, [])
    assert execution.error_message.startswith("Monthly execution limit reached")
    assert list(execution.notifications.values_list("kind", flat=True)) == ["email"]
    assert execution.steps.get().reason == execution.error_message
    cue.refresh_from_db()
    assert (cue.run_count, cue.last_run) == (0, now)
    assert usage.this_month(cue.account_id, now=now) == 1


@pytest.mark.django_db(transaction=True)
def test_a_backlog_of_the_refused_ends_without_waiting_for_sweeps(cue: Cue, monkeypatch, worker: Worker) -> None:
    monkeypatch.setattr(delivery, "REFUSED_MAX", 3)
    now = past_its_grace(cue)
    for _ in range(4):
        make.execution(cue)
    delivery.drain(lane_of(cue), tick=lambda: now)
    assert Execution.objects.filter(status=Status.FAILED).count() == 3
    assert [kwargs["origin"] for task, kwargs in worker.waiting() if task == lanes.DRAIN_TASK] == [cue.lane]
    delivery.drain(lane_of(cue), tick=lambda: now)
    assert set(Execution.objects.values_list("status", flat=True)) == {"failed"}


def test_within_the_grace_and_with_enforcement_off_attempts_go_on(cue: Cue, receiver: Receiver, settings) -> None:
    now = past_its_grace(cue)
    assert deliver(make.execution(cue), now - MINUTE).status == "success"
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"disable_quota_enforcement": True})
    assert deliver(make.execution(cue), now).status == "success"


def test_one_accounts_limit_leaves_the_others_alone(cue: Cue, receiver: Receiver) -> None:
    now = past_its_grace(cue)
    other = make.cue(make.account("bob@example.org"), callback_url=receiver.url, next_run=None)
    assert deliver(make.execution(cue), now).status == "failed"
    assert deliver(make.execution(other), now).status == "success"


def test_what_is_not_due_is_not_refused_yet(cue: Cue) -> None:
    now = past_its_grace(cue)
    execution = deliver(make.execution(cue, due_at=now + MINUTE), now)
    assert execution.status == "pending"
