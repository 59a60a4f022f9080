"""docs/webhooks.md, run as printed."""

from typing import Any

import pytest
import requests
from django.conf import LazySettings
from standardwebhooks import WebhookVerificationError

from tests.support import make
from tests.support.api import Api
from tests.support.printed import Page, send
from tests.support.receiver import Answer, Receiver
from tests.support.worker import Worker

PAGE = Page("docs/webhooks.md")
SECRET = "/v1/auth/webhook-secret"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def cue_id(api: Api, receiver: Receiver) -> str:
    return str(api.post("/v1/cues", make.body(callback={"url": receiver.url})).json()["id"])


def deliver(api: Api, cue_id: str, worker: Worker, receiver: Receiver) -> Any:
    api.post(f"/v1/cues/{cue_id}/fire")
    worker.run()
    return receiver.received[-1]


def test_a_standard_webhooks_library_knows_a_delivery(
    api: Api, cue_id: str, worker: Worker, receiver: Receiver
) -> None:
    webhook = deliver(api, cue_id, worker, receiver)
    secret = api.get(SECRET).json()["webhook_secret"]
    genuine_body = PAGE.python("genuine_body")
    assert genuine_body(secret, webhook.headers, webhook.body)["cue_id"] == cue_id
    with pytest.raises(WebhookVerificationError):
        genuine_body(secret, webhook.headers, webhook.body + b" ")


def test_both_secrets_know_a_delivery_while_a_rotation_overlaps(
    api: Api, cue_id: str, worker: Worker, receiver: Receiver
) -> None:
    old = api.get(SECRET).json()["webhook_secret"]
    rotated = send(api, PAGE.curl("webhook-secret/regenerate")).json()
    webhook = deliver(api, cue_id, worker, receiver)
    genuine_body = PAGE.python("genuine_body")
    for secret in (old, rotated["webhook_secret"]):
        assert genuine_body(secret, webhook.headers, webhook.body)


def test_a_cue_with_its_own_retries_is_created_as_printed(api: Api) -> None:
    made = send(api, PAGE.curl("sync-orders"))
    assert made.status_code == 201
    assert made.json()["retry"] == {"max_attempts": 5, "backoff_minutes": [1, 5, 15], "jitter": 0.2}


@pytest.mark.parametrize(("order_exists", "status"), [(True, "success"), (False, "failed")])
def test_a_handler_that_knows_better_ends_the_retries(
    api: Api, cue_id: str, worker: Worker, receiver: Receiver, order_exists: bool, status: str
) -> None:
    code, headers = PAGE.python("answer_to")(order_exists)
    receiver.default = Answer(code, headers=headers)
    deliver(api, cue_id, worker, receiver)
    (run,) = api.get("/v1/executions").json()["executions"]
    assert (run["status"], run["attempts"], run["http_status"]) == (status, 1, code)
    history = api.get(f"/v1/executions/{run['id']}").json()["history"]
    assert ("asked for no more tries" in history[-1]["reason"]) == (not order_exists)


def test_a_handler_reports_by_the_link_of_its_delivery(
    api: Api, cue_id: str, worker: Worker, receiver: Receiver, live_server: Any, settings: LazySettings
) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"base_url": live_server.url})
    webhook = deliver(api, cue_id, worker, receiver)
    report = PAGE.python("report")
    report(webhook.headers, success=True, result="12 mails summarised")
    (run,) = api.get("/v1/executions").json()["executions"]
    assert run["outcome"]["result"] == "12 mails summarised"
    with pytest.raises(requests.HTTPError, match="409"):
        report(webhook.headers, success=True)
