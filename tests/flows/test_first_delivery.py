"""The main path: one call in, one signed webhook out, one outcome back."""

import json

import pytest

from cueapi.signing import signature
from tests.support.api import Api
from tests.support.receiver import Answer, Receiver
from tests.support.worker import Worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def create(api: Api, receiver: Receiver, **fields: object) -> dict:
    body = {
        "name": "process-inquiry",
        "schedule": {"type": "one-time", "at": None},
        "callback": {"url": receiver.url},
        "payload": {"inquiryId": "inquiry_123"},
        "retry": {"max_attempts": 3, "backoff_minutes": [0]},
    } | fields
    answer = api.post("/v1/cues", body)
    assert answer.status_code == 201, answer.content
    return answer.json()


def executions(api: Api) -> list[dict]:
    return api.get("/v1/executions").json()["executions"]


def test_a_cue_for_now_is_delivered_signed_over_its_exact_bytes(api: Api, receiver: Receiver, worker: Worker) -> None:
    create(api, receiver)
    worker.run()
    (webhook,) = receiver.received
    secret = api.get("/v1/auth/webhook-secret").json()["webhook_secret"]
    sent_at = webhook.headers["X-CueAPI-Timestamp"]
    assert webhook.headers["X-CueAPI-Signature"] == signature(secret, sent_at, webhook.body)
    assert json.loads(webhook.body)["inquiryId"] == "inquiry_123"
    assert executions(api)[0]["status"] == "success"


def test_a_receiver_that_fails_twice_is_asked_a_third_time(api: Api, receiver: Receiver, worker: Worker) -> None:
    receiver.will_answer(Answer(500), Answer(503))
    create(api, receiver)
    worker.run()
    assert [webhook.json["attempt"] for webhook in receiver.received] == [1, 2, 3]
    (execution,) = executions(api)
    detail = api.get(f"/v1/executions/{execution['id']}").json()
    assert [attempt["http_status"] for attempt in detail["attempt_log"]] == [500, 503, 200]
    assert detail["status"] == "success"


def test_a_cue_that_uses_up_its_attempts_fails_and_says_why(
    api: Api, receiver: Receiver, worker: Worker, mailoutbox: list
) -> None:
    receiver.default = Answer(502)
    cue = create(api, receiver)
    worker.run()
    (execution,) = executions(api)
    assert (execution["status"], execution["attempts"]) == ("failed", 3)
    assert execution["error_message"] == "The receiver answered 502."
    assert api.get(f"/v1/cues/{cue['id']}").json()["status"] == "failed"
    assert [mail.to for mail in mailoutbox] == [["ada@example.org"]]
