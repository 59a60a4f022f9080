"""Mails about the account: sent by a background job once the change is committed, and never in its way."""

from typing import Any

import pytest
from django.conf import LazySettings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from cueapi import mail
from cueapi.logging import LineFormatter
from cueapi.tasks import send_notice
from tests.support.api import Api
from tests.support.broker import broker_down
from tests.support.worker import Worker

pytestmark = pytest.mark.django_db(transaction=True)

NOTICES = {
    "/v1/auth/key/regenerate": "Your CueAPI key was replaced",
    "/v1/auth/webhook-secret/regenerate": "Your CueAPI webhook secret was replaced",
}


@pytest.mark.parametrize(("path", "subject"), NOTICES.items())
def test_replacing_a_secret_sends_a_notice(
    api: Api, worker: Worker, mailoutbox: list[EmailMessage], path: str, subject: str
) -> None:
    assert api.post(path, x_confirm_destructive="true").status_code == 200
    assert mailoutbox == []  # not by the request itself
    assert worker.run() == ["cueapi.send_notice"]
    (notice,) = mailoutbox
    assert (notice.subject, notice.to) == (subject, ["ada@example.org"])
    assert "ada@example.org" in notice.body and "{" not in notice.body


def test_no_notice_holds_the_secret(api: Api, worker: Worker, mailoutbox: list[EmailMessage]) -> None:
    secret = api.post("/v1/auth/webhook-secret/regenerate", x_confirm_destructive="true").json()["webhook_secret"]
    key = api.post("/v1/auth/key/regenerate", x_confirm_destructive="true").json()["api_key"]
    worker.run()
    assert len(mailoutbox) == 2
    for notice in mailoutbox:
        assert secret not in notice.body and key not in notice.body


def test_a_refused_change_sends_nothing(api: Api, worker: Worker) -> None:
    api.post("/v1/auth/key/regenerate")
    api.post("/v1/auth/webhook-secret/regenerate")
    assert worker.run() == []


@pytest.mark.parametrize("path", NOTICES)
def test_without_a_broker_the_change_is_made_all_the_same(api: Api, path: str) -> None:
    with broker_down():
        assert api.post(path, x_confirm_destructive="true").status_code == 200


@pytest.mark.parametrize("notice", mail.NOTICES)
def test_every_subject_is_one_line(notice: str) -> None:
    subject, text = mail.NOTICES[notice]
    assert subject.isprintable()
    assert "ada@example.org" in text.format(email="ada@example.org", at="2031-05-04T09:00:00Z")


def test_an_account_that_is_gone_gets_no_mail(mailoutbox: list[EmailMessage]) -> None:
    send_notice(notice="key_replaced", account_id="0d7a1c1e-6a53-4d0e-9b2f-2f6c1f0f7a11", at="2031-05-04T09:00:00Z")
    assert mailoutbox == []


# --- The sign-in link --------------------------------------------------------------------------------------------

LINK = "http://localhost:8000/v1/auth/verify?token=" + "0" * 64 + "&device_code=ABCD-1234"


@pytest.fixture
def mail_server(settings: LazySettings) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"email_url": "smtp://mail.example.org"})


def send_link(code: str = "ABCD-1234") -> None:
    mail.send_link_later("ada@example.org", code, LINK)


def test_a_sign_in_link_is_mailed_by_a_job(mail_server: None, worker: Worker, mailoutbox: list[EmailMessage]) -> None:
    send_link()
    assert mailoutbox == []
    assert worker.run() == ["cueapi.send_link"]
    (letter,) = mailoutbox
    assert (letter.subject, letter.to) == ("Sign in to CueAPI", ["ada@example.org"])
    assert f"\n{LINK}\n" in letter.body and "ABCD-1234" in letter.body and "{" not in letter.body


def test_the_broker_cannot_read_the_link(mail_server: None, worker: Worker) -> None:
    send_link()
    message: Any = worker._take()
    assert message[1] == "cueapi.send_link"
    assert "0" * 64 not in str(message)


def test_a_code_that_could_carry_a_message_is_left_out(
    mail_server: None, worker: Worker, mailoutbox: list[EmailMessage]
) -> None:
    send_link("You have won! Go to evil.example.org")
    worker.run()
    assert "evil" not in mailoutbox[0].body and LINK in mailoutbox[0].body


def test_without_a_broker_the_link_is_mailed_at_once(
    mail_server: None, worker: Worker, mailoutbox: list[EmailMessage]
) -> None:
    with broker_down():
        send_link()
    assert [LINK in letter.body for letter in mailoutbox] == [True]
    assert worker.run() == []


class BrokenBackend(BaseEmailBackend):
    """A mail server that takes nothing."""

    def send_messages(self, email_messages: Any) -> int:
        raise ConnectionRefusedError("nobody listens")


def test_without_a_broker_and_a_mail_server_the_log_says_so(
    mail_server: None, caplog: pytest.LogCaptureFixture, settings: LazySettings
) -> None:
    settings.EMAIL_BACKEND = f"{__name__}.BrokenBackend"
    with broker_down():
        send_link()
    (record,) = [record for record in caplog.records if record.msg == "login.mail_failed"]
    assert record.levelname == "ERROR"
    assert "0" * 64 not in LineFormatter().format(record)


def test_without_a_mail_server_the_link_is_one_clear_line_in_the_log(
    worker: Worker, mailoutbox: list[EmailMessage], caplog: pytest.LogCaptureFixture
) -> None:
    send_link()
    assert (worker.run(), mailoutbox) == ([], [])
    (record,) = [record for record in caplog.records if record.msg == "login.link_not_mailed"]
    assert record.levelname == "WARNING"  # so that it shows whatever LOG_LEVEL is
    line = LineFormatter().format(record)
    assert line.endswith(f'why="EMAIL_URL is not set" email=ada@example.org open={LINK}')
    assert "\n" not in line
