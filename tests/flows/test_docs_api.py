"""docs/api.md, run as printed."""

import json

import pytest

from executions.models import Execution
from tests.support import make
from tests.support.api import Api
from tests.support.envelope import refused
from tests.support.printed import Page, send

PAGE = Page("docs/api.md")

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_key_for_a_program_of_its_own_works_until_it_is_revoked(api: Api) -> None:
    made = send(api, PAGE.curl("/v1/auth/keys"))
    assert (made.status_code, made.json()["label"]) == (201, "nightly worker")
    program = Api(made.json()["api_key"])
    assert program.get("/v1/auth/me").status_code == 200
    assert api.delete(f"/v1/auth/keys/{made.json()['id']}", x_confirm_destructive="true").status_code == 200
    refused(program.get("/v1/auth/me"), 401, "key_revoked")


def test_a_fire_sent_twice_happens_once(api: Api) -> None:
    cue = make.recurring(api.account)
    first, second = (send(api, PAGE.curl("/fire"), CUE_ID=cue.pk) for _ in range(2))
    assert (first.json(), second.headers["Idempotent-Replayed"]) == (second.json(), "true")
    assert Execution.objects.get().payload == {"order": 17}


def test_an_error_looks_as_printed(api: Api) -> None:
    (printed,) = (json.loads(block) for block in PAGE.blocks("json"))
    answer = api.post("/v1/cues", make.body(schedule={"type": "recurring", "cron": "never"})).json()
    assert set(printed["error"]) <= set(answer["error"])
    assert set(printed["detail"]["error"]) == set(answer["detail"]["error"])
    assert answer["error"]["code"] == printed["error"]["code"]


def test_alerts_get_their_webhook(api: Api) -> None:
    assert send(api, PAGE.curl("/v1/auth/me")).status_code == 200
    assert api.get("/v1/auth/me").json()["alert_webhook_url"] == "http://localhost:9000/alerts"
