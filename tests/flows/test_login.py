"""Signing in a device, as a person and a command line do it together: code, page, mail, link, key, session, whoami."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.mail import EmailMessage

from tests.support.api import Api
from tests.support.envelope import refused
from tests.support.login import CODE, link_in, logged_link, poll, start, submit
from tests.support.worker import Worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

EMAIL = "grace@example.org"


@pytest.fixture(autouse=True)
def mail_server(settings: LazySettings) -> Iterator[None]:
    """The operator has set up mail, and sessions."""
    given = {"email_url": "smtp://mail.example.org", "session_secret": "s" * 40}
    settings.CUEAPI = settings.CUEAPI.model_copy(update=given)
    yield


def sign_in(anyone: Api, worker: Worker, mailoutbox: list[EmailMessage], code: str = CODE) -> dict[str, Any]:
    start(anyone, code)
    submit(anyone, EMAIL, code)
    worker.run()
    assert anyone.get(link_in(mailoutbox[-1].body)).status_code == 200
    return poll(anyone, code)


def test_from_a_code_to_a_session(anyone: Api, worker: Worker, mailoutbox: list[EmailMessage]) -> None:
    began = start(anyone)
    assert (began.status_code, began.json()["expires_in"]) == (201, 900)
    assert poll(anyone) == {"status": "pending"}

    page = anyone.get(began.json()["verification_url"].removeprefix("http://localhost:8000"))
    assert page.status_code == 200 and CODE in page.content.decode()
    action = re.findall(r'data-action="\.\./([^"]+)"', page.content.decode())[0]  # seen from /auth/device
    asked = anyone.post(f"/{action}", {"device_code": CODE, "email": EMAIL})
    assert (asked.status_code, asked.json()) == (200, {"status": "email_sent"})
    assert poll(anyone) == {"status": "email_sent"}

    assert worker.run() == ["cueapi.send_link"]
    (mail,) = mailoutbox
    assert (mail.to, mail.subject) == ([EMAIL], "Sign in to CueAPI")
    assert CODE in mail.body
    assert anyone.get(link_in(mail.body)).status_code == 200

    given = poll(anyone)
    assert (given["status"], given["email"]) == ("approved", EMAIL)
    assert "existing_user" not in given
    assert poll(anyone) == {"status": "claimed"}
    me = Api(given["api_key"]).get("/v1/auth/me").json()
    assert (me["email"], me["plan"], me["active_cues"]) == (EMAIL, "unlimited", 0)

    session = anyone.post("/v1/auth/session", {"token": given["session_token"]}).json()["session_token"]
    assert Api(session).get("/v1/auth/me").json()["id"] == me["id"]
    longer = Api(session).post("/v1/auth/session/refresh").json()["session_token"]
    assert Api(longer).get("/v1/auth/me").json()["id"] == me["id"]


def test_a_second_device_gets_a_key_of_its_own(anyone: Api, worker: Worker, mailoutbox: list[EmailMessage]) -> None:
    first, second = (sign_in(anyone, worker, mailoutbox, code) for code in ("laptop-1", "server-2"))
    keys = Api(second["api_key"]).get("/v1/auth/keys").json()["keys"]
    assert [key["label"] for key in keys] == ["device:server-2", "default"]
    revoked = Api(second["api_key"]).delete(f"/v1/auth/keys/{keys[1]['id']}", x_confirm_destructive="true")
    assert revoked.status_code == 200
    refused(Api(first["api_key"]).get("/v1/auth/me"), 401, "key_revoked")
    assert Api(second["api_key"]).get("/v1/auth/me").status_code == 200


def test_a_worker_whose_key_was_replaced_recovers_by_itself(
    anyone: Api, worker: Worker, mailoutbox: list[EmailMessage]
) -> None:
    old = Api(anyone.post("/v1/auth/register", {"email": EMAIL}).json()["api_key"])
    new = Api(old.post("/v1/auth/key/regenerate", x_confirm_destructive="true").json()["api_key"])
    refused(old.get("/v1/executions/claimable"), 401, "key_rotated")
    given = sign_in(anyone, worker, mailoutbox, "k7q2m9xa")
    assert given["status"] == "approved" and "existing_user" not in given
    assert Api(given["api_key"]).get("/v1/auth/me").json()["email"] == EMAIL
    assert new.get("/v1/auth/me").status_code == 200


def test_a_self_hoster_without_mail_finds_the_link_in_the_log(
    anyone: Api,
    worker: Worker,
    mailoutbox: list[EmailMessage],
    caplog: pytest.LogCaptureFixture,
    settings: LazySettings,
) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"email_url": ""})
    start(anyone)
    submit(anyone, EMAIL)
    assert (worker.run(), mailoutbox) == ([], [])
    assert anyone.get(logged_link(caplog)).status_code == 200
    assert poll(anyone)["status"] == "approved"
