"""Mails and calls: each sent once, tried three times, limited by the hour (contract 6.7, 8.1 and 10)."""

import threading
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core import mail

from cueapi.models import Account
from cueapi.signing import canonical_json, signature
from executions import closing, notifications, recovery
from executions.models import Alert, Execution, Notification, Worker
from executions.states import Status
from tests.support import make
from tests.support.make import NOW, NOWHERE
from tests.support.receiver import Answer, Receiver
from tests.support.together import at_once
from tests.support.worker import Worker as QueueWorker

pytestmark = [pytest.mark.django_db, pytest.mark.database]

DAY = timedelta(days=1)


def failed(name: str = "digest", owner: Any = None, **columns: Any) -> Execution:
    """An execution that ended badly, its notifications waiting."""
    cue = make.recurring(owner or make.account(), name=name, **columns)
    execution = make.execution(cue, status=Status.DELIVERING, attempts=3, http_status=502)
    closing.close(execution, Status.FAILED, reason="test", now=NOW, error_message="The receiver answered 502.")
    return execution


def send(now=NOW) -> int:
    return notifications.send_due(Notification.objects.all(), now=now)


def states() -> list[tuple]:
    return list(Notification.objects.order_by("pk").values_list("kind", "state", "tries"))


def test_the_mail_says_what_failed_and_where_to_look() -> None:
    execution = failed()
    assert send() == 1
    (message,) = mail.outbox
    assert (message.to, message.subject) == (["ada@example.org"], "CueAPI: digest failed")
    for fact in (execution.cue_id, str(execution.pk), "The receiver answered 502.", "Attempts:  3", "http://localhost"):
        assert fact in message.body
    assert states() == [("email", "sent", 1)]


def test_sending_again_sends_nothing() -> None:
    failed()
    assert [send(), send(), send(NOW + DAY)] == [1, 0, 0]
    assert len(mail.outbox) == 1


@pytest.mark.parametrize("name", ["a\r\nBcc: all@example.org", "a\nb", "a\u2028b\x0bc", "x" * 255])
def test_the_subject_is_one_line_whatever_the_cue_is_called(name: str) -> None:
    failed(name)
    send()
    (message,) = mail.outbox
    assert len(message.subject.splitlines()) == 1
    assert message.message()["Bcc"] is None
    assert len(message.subject) <= 200


def test_a_cue_called_test_is_no_exception() -> None:
    failed("test-quickstart")
    send()
    assert len(mail.outbox) == 1


def test_ten_mails_an_hour_for_an_account() -> None:
    owner = make.account()
    for number in range(12):
        failed(f"cue {number}", owner)
    failed("other", make.account("bob@example.org"))
    send()
    assert sorted(message.to[0] for message in mail.outbox) == ["ada@example.org"] * 10 + ["bob@example.org"]
    assert Notification.objects.filter(state="suppressed", due_at=None).count() == 2
    failed("an hour later", owner)
    send(NOW + timedelta(hours=1))
    assert mail.outbox[-1].subject == "CueAPI: an hour later failed"


def test_a_mail_server_that_is_down_is_asked_three_times(settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    failed()
    now = NOW
    for tries in (1, 2, 3):
        assert send(now) == 1
        assert Notification.objects.get().tries == tries
        now += DAY
    assert send(now) == 0
    notification = Notification.objects.get()
    assert (notification.state, notification.due_at) == ("failed", None)
    assert notification.error


def webhook_only(url: str, **columns: Any) -> Execution:
    return failed(on_failure_email=False, on_failure_webhook=url, **columns)


def test_the_failure_webhook_is_signed_and_complete(receiver: Receiver) -> None:
    execution = webhook_only(receiver.url)
    send()
    (request,) = receiver.received
    assert request.json == {
        "event": "cue.failed",
        "cue_id": execution.cue_id,
        "cue_name": "digest",
        "execution_id": str(execution.pk),
        "attempts": 3,
        "last_http_status": 502,
        "last_error": "The receiver answered 502.",
        "failed_at": "2031-05-04T09:00:00Z",
        "dashboard_url": "http://localhost:8000",
    }
    assert request.body == canonical_json(request.json)
    stamp = request.headers["X-CueAPI-Timestamp"]
    assert stamp == str(int(NOW.timestamp()))
    assert request.headers["X-CueAPI-Signature"] == signature(execution.account.webhook_secret, stamp, request.body)


def test_a_failure_webhook_that_is_refused_waits_and_is_tried_three_times(receiver: Receiver) -> None:
    receiver.default = Answer(500)
    webhook_only(receiver.url)
    send()
    for early in (NOW, NOW + timedelta(seconds=9)):
        assert send(early) == 0
    send(NOW + timedelta(seconds=10))
    assert send(NOW + timedelta(seconds=69)) == 0
    send(NOW + timedelta(seconds=70))
    assert send(NOW + DAY) == 0
    assert (len(receiver.received), states()) == (3, [("webhook", "failed", 3)])


def test_a_failure_webhook_that_comes_back_is_sent_once_more_only(receiver: Receiver) -> None:
    receiver.will_answer(Answer(503))
    webhook_only(receiver.url)
    for seconds in (0, 10, 70, 500):
        send(NOW + timedelta(seconds=seconds))
    assert (len(receiver.received), states()) == (2, [("webhook", "sent", 2)])


def test_redirects_are_not_followed_and_forbidden_addresses_not_called(receiver: Receiver) -> None:
    receiver.default = Answer(302, headers={"Location": receiver.url_for("/other")})
    webhook_only(receiver.url)
    send()
    webhook_only("http://10.0.0.1/hook", owner=make.account("bob@example.org"))
    send()
    assert [request.path for request in receiver.received] == ["/hook"]
    assert "private address" in Notification.objects.last().error


def test_one_that_fails_does_not_hold_up_the_others() -> None:
    webhook_only(NOWHERE)
    failed("second", make.account("bob@example.org"))
    assert send() == 2
    assert len(mail.outbox) == 1


def test_a_sender_that_died_leaves_it_due_again_a_minute_later() -> None:
    failed()
    assert notifications._claim(Notification.objects.get(), now=NOW)  # and dies here
    assert send(NOW + timedelta(seconds=59)) == 0
    assert send(NOW + timedelta(seconds=60)) == 1
    assert len(mail.outbox) == 1


def test_a_notification_that_kills_its_sender_is_given_up() -> None:
    failed()
    now = NOW
    for _ in range(3):
        assert notifications._claim(Notification.objects.get(), now=now)
        now += timedelta(minutes=1)
    send(now)
    assert (mail.outbox, Notification.objects.get().state) == ([], "failed")
    assert send(now + DAY) == 0


@pytest.mark.django_db(transaction=True)
def test_many_senders_at_once_send_each_once(receiver: Receiver) -> None:
    owner = make.account()
    for number in range(5):
        failed(f"cue {number}", owner, on_failure_email=False, on_failure_webhook=receiver.url)
    at_once([send] * 4)
    assert len(receiver.received) == 5
    assert {state for _, state, _ in states()} == {"sent"}


# --- Alerts -----------------------------------------------------------------------------------------------------


def alert(owner: Account | None = None, kind: str = "webhook", **columns: Any) -> Alert:
    """An alert that waits to be sent."""
    cue = make.cue(owner or make.account(), name=f"digest {Alert.objects.count()}")
    given = {
        "alert_type": "consecutive_failures",
        "message": f"{cue.name} failed 3 times in a row",
        "metadata": {"consecutive_failures": 3},
        "created_at": NOW,
    }
    made = Alert.objects.create(account=cue.account, cue=cue, **given | columns)
    Notification.objects.create(alert=made, account=cue.account, kind=kind, due_at=NOW)
    return made


def listening(receiver: Receiver, **columns: Any) -> Account:
    return make.account(alert_webhook_url=receiver.url, **columns)


def test_the_alert_webhook_is_signed_with_the_alert_secret_and_complete(receiver: Receiver) -> None:
    owner = listening(receiver, alert_webhook_secret="a" * 64)
    run = make.execution(make.cue(owner))
    made = alert(owner, execution=run)
    send()
    (request,) = receiver.received
    assert request.method == "POST"
    assert request.json == {
        "alert_id": str(made.pk),
        "alert_type": "consecutive_failures",
        "severity": "warning",
        "message": "digest 0 failed 3 times in a row",
        "execution_id": str(run.pk),
        "cue_id": made.cue_id,
        "created_at": "2031-05-04T09:00:00Z",
        "metadata": {"consecutive_failures": 3},
    }
    assert request.body == canonical_json(request.json)
    stamp, signed = str(int(NOW.timestamp())), request.headers["X-CueAPI-Signature"]
    assert signed == signature("a" * 64, stamp, request.body) == request.headers["X-CueAPI-Alert-Signature"]
    assert stamp == request.headers["X-CueAPI-Timestamp"] == request.headers["X-CueAPI-Alert-Timestamp"]
    assert request.headers["X-CueAPI-Alert-Id"] == request.headers["webhook-id"] == str(made.pk)
    assert request.headers["X-CueAPI-Alert-Type"] == "consecutive_failures"
    assert request.headers["Content-Type"] == "application/json"


def test_an_account_without_an_alert_secret_gets_one_that_signs(receiver: Receiver) -> None:
    owner = listening(receiver)
    alert(owner, alert_type="missed_window")
    send()
    (request,) = receiver.received
    owner.refresh_from_db()
    assert len(owner.alert_webhook_secret) == 64
    stamp = request.headers["X-CueAPI-Timestamp"]
    assert request.headers["X-CueAPI-Signature"] == signature(owner.alert_webhook_secret, stamp, request.body)
    assert request.json["execution_id"] is None


def test_an_alert_webhook_is_tried_three_times_and_its_redirects_are_not_followed(receiver: Receiver) -> None:
    receiver.default = Answer(307, headers={"Location": receiver.url_for("/other")})
    alert(listening(receiver))
    for seconds in (0, 5, 10, 69, 70, 500):
        send(NOW + timedelta(seconds=seconds))
    assert [request.path for request in receiver.received] == ["/hook"] * 3
    assert states() == [("webhook", "failed", 3)]


def test_a_forbidden_address_of_an_alert_webhook_is_not_called() -> None:
    alert(make.account(alert_webhook_url="http://10.0.0.1/hook"))
    send()
    assert "private address" in Notification.objects.get().error


def test_an_alert_whose_url_was_cleared_meanwhile_is_not_sent(receiver: Receiver) -> None:
    owner = listening(receiver)
    alert(owner)
    Account.objects.update(alert_webhook_url="")
    send()
    assert (receiver.received, states()) == ([], [("webhook", "suppressed", 1)])


def test_the_alert_mail_says_what_it_is_and_how_to_acknowledge_it() -> None:
    made = alert(kind="email")
    send()
    (message,) = mail.outbox
    assert (message.to, message.subject) == (["ada@example.org"], "CueAPI: digest 0 failed 3 times in a row")
    for fact in (str(made.cue_id), f"/v1/alerts/{made.pk}/acknowledge", "consecutive_failures", "alert_email"):
        assert fact in message.body


def test_the_subject_of_an_alert_mail_is_one_line_too() -> None:
    alert(kind="email", message="a\r\nBcc: all@example.org" + "x" * 400)
    send()
    (message,) = mail.outbox
    assert len(message.subject.splitlines()) == 1
    assert (len(message.subject), message.message()["Bcc"]) == (200, None)


def test_ten_mails_an_hour_about_alerts_and_ten_about_failures() -> None:
    owner = make.account()
    for number in range(12):
        alert(owner, kind="email")
        failed(f"cue {number}", owner)
    send()
    subjects = [message.subject for message in mail.outbox]
    about_alerts = [subject for subject in subjects if "in a row" in subject]
    assert (len(subjects), len(about_alerts)) == (20, 10)
    assert Notification.objects.filter(state="suppressed").count() == 4


# --- Workers ----------------------------------------------------------------------------------------------------


def silent(owner: Account, worker_id: str = "host.example/1") -> None:
    since = NOW - timedelta(minutes=7)
    worker = Worker.objects.create(
        account=owner, worker_id=worker_id, last_heartbeat_at=since, registered_at=since, offline_mailed_at=NOW
    )
    Notification.objects.create(worker=worker, account=owner, kind="email", due_at=NOW)


def test_the_mail_about_a_silent_worker_says_how_long_and_what_waits() -> None:
    owner = make.account()
    cue = make.cue(owner, transport="worker")
    for columns in ({}, {}, {"scheduled_for": NOW + DAY}, {"status": Status.SUCCESS}):
        make.execution(cue, **columns)
    silent(owner)
    send()
    (message,) = mail.outbox
    assert message.subject == "CueAPI: worker host.example/1 is offline"
    assert "7 minutes" in message.body
    assert "wait for a worker: 2" in message.body


def test_a_dozen_silent_workers_are_a_dozen_mails_whatever_else_was_mailed() -> None:
    owner = make.account()
    for number in range(10):
        failed(f"cue {number}", owner)
    send()
    for number in range(12):
        silent(owner, f"w{number}")
    send()
    assert len(mail.outbox) == 10 + 12


# --- Messages ---------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_what_is_written_is_sent_by_a_task_after_the_commit(worker: QueueWorker) -> None:
    failed()
    with time_machine.travel(NOW):
        assert worker.run() == ["executions.notify"]
    assert (len(mail.outbox), states()) == (1, [("email", "sent", 1)])


@pytest.mark.django_db(transaction=True)
def test_lost_messages_come_back_by_account_so_that_one_cannot_hold_up_another(worker: QueueWorker) -> None:
    ada, bob = make.account(), make.account("bob@example.org")
    for owner, count in ((ada, 12), (bob, 1)):
        for _ in range(count):
            alert(owner, kind="email")
    assert worker.drop() == 0
    assert recovery.notify(NOW) == 13
    with time_machine.travel(NOW):
        assert worker.run() == ["executions.notify"] * 3
    assert [message.to[0] for message in mail.outbox].count("bob@example.org") == 1


@pytest.mark.django_db(transaction=True)
def test_receivers_that_hang_take_a_few_threads_only(receiver: Receiver) -> None:
    done = threading.Event()
    receiver.default = Answer(200, wait=done)
    owner = listening(receiver)
    for _ in range(6):
        alert(owner)

    def send_one(pk: int) -> int:
        return notifications.send_due(Notification.objects.filter(pk=pk), now=NOW)

    def release() -> None:
        receiver.wait_for(4)
        pks = list(Notification.objects.filter(state="waiting").values_list("pk", flat=True))
        assert [send_one(pk) for pk in pks] == [0, 0]  # at once: it is left to the sweep
        done.set()

    pks = list(Notification.objects.order_by("pk").values_list("pk", flat=True))
    results = at_once([*[lambda pk=pk: send_one(pk) for pk in pks[:4]], release])
    assert results == [1, 1, 1, 1, None]
    assert send() == 2
    assert {state for _, state, _ in states()} == {"sent"}
