"""Signing in as a test does it: the code, the address, the link out of the server's log, the poll."""

import re
from typing import Any

import pytest

from tests.support.api import Api

CODE = "ABCD-1234"


def link_in(text: str) -> str:
    """The path and query of the one sign-in link in a text."""
    (link,) = set(re.findall(r"https?://[^/\s]+(/v1/auth/verify\?\S+)", text))
    return str(link)


def logged_link(caplog: pytest.LogCaptureFixture) -> str:
    """The link that was logged last, for want of a mail server."""
    links = [vars(record)["open"] for record in caplog.records if record.msg == "login.link_not_mailed"]
    return link_in(links[-1])


def start(anyone: Api, code: str = CODE) -> Any:
    return anyone.post("/v1/auth/device-code", {"device_code": code})


def submit(anyone: Api, email: str = "ada@example.org", code: str = CODE) -> Any:
    return anyone.post("/v1/auth/device-code/submit-email", {"device_code": code, "email": email})


def poll(anyone: Api, code: str = CODE) -> dict[str, Any]:
    answer = anyone.post("/v1/auth/device-code/poll", {"device_code": code})
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = answer.json()
    return found


def approved(
    anyone: Api, caplog: pytest.LogCaptureFixture, email: str = "ada@example.org", code: str = CODE
) -> dict[str, Any]:
    """What the poll hands out after all the steps before it."""
    assert start(anyone, code).status_code == 201
    assert submit(anyone, email, code).status_code == 200
    assert anyone.get(logged_link(caplog)).status_code == 200
    answer = poll(anyone, code)
    assert answer["status"] == "approved"
    return answer
