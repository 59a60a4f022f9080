"""Notices about the account: sent by a background job once the change is committed, and never in its way."""

import pytest
from django.core.mail import EmailMessage

from cueapi import mail
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
