"""The README's own code, run as printed."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Api
from tests.support.receiver import Receiver
from tests.support.worker import Worker

README = (Path(__file__).resolve().parent.parent.parent / "README.md").read_text()

pytestmark = pytest.mark.django_db(transaction=True)


def printed(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def body_of(curl: str) -> dict[str, Any]:
    found = re.search(r"-d '(.*)'", curl, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def curl_to(path: str) -> str:
    (curl,) = [block for block in printed("console") if f"{path} \\\n" in block]
    return curl


@pytest.fixture
def is_genuine() -> Any:
    names: dict[str, Any] = {}
    exec(printed("python")[0], names)
    return names["is_genuine"]


def test_the_first_cue_is_delivered_and_the_receiving_side_knows_it_is_genuine(
    api: Api, receiver: Receiver, worker: Worker, is_genuine: Any
) -> None:
    cue = body_of(curl_to("/v1/cues")) | {"callback": {"url": receiver.url}}
    assert api.post("/v1/cues", cue).status_code == 201
    worker.run()
    (webhook,) = receiver.received
    secret = api.get("/v1/auth/webhook-secret").json()["webhook_secret"]
    assert is_genuine(secret, webhook.headers, webhook.body)
    assert not is_genuine(secret, webhook.headers, webhook.body + b" ")


def test_the_outcome_is_recorded_as_printed(api: Api, receiver: Receiver, worker: Worker) -> None:
    api.post("/v1/cues", body_of(curl_to("/v1/cues")) | {"callback": {"url": receiver.url}})
    worker.run()
    (execution,) = api.get("/v1/executions").json()["executions"]
    report = body_of(curl_to("/v1/executions/EXECUTION_ID/outcome"))
    assert api.post(f"/v1/executions/{execution['id']}/outcome", report).status_code == 200
    assert api.get(f"/v1/executions/{execution['id']}").json()["outcome"]["external_id"] == "msg:88"
