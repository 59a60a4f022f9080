"""Mails and failure webhooks: each sent once, tried three times, limited by the hour (contract 6.7 and 10)."""

from datetime import timedelta
from typing import Any

import pytest
from django.core import mail

from cueapi.signing import canonical_json, signature
from executions import closing, notifications
from executions.models import Execution, Notification
from executions.states import Status
from tests.support import make
from tests.support.make import NOW, NOWHERE
from tests.support.receiver import Answer, Receiver
from tests.support.together import at_once

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
