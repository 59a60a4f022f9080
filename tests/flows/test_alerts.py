"""A receiver keeps failing: one alert is raised, and its signed webhook arrives (contract 8.1)."""

import time
from typing import Any

import pytest

from cueapi.signing import signature
from tests.support import make
from tests.support.api import Api
from tests.support.receiver import Answer, Receiver
from tests.support.worker import Worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def fire(api: Api, cue_id: str, worker: Worker) -> str:
    run: dict[str, Any] = api.post(f"/v1/cues/{cue_id}/fire").json()
    worker.run()
    return str(run["id"])


def test_three_failed_executions_raise_one_alert_and_its_webhook_is_signed(
    api: Api, receiver: Receiver, worker: Worker
) -> None:
    with Receiver() as pager:
        assert api.patch("/v1/auth/me", {"alert_webhook_url": pager.url}).status_code == 200
        secret = api.get("/v1/auth/alert-webhook-secret").json()["alert_webhook_secret"]
        receiver.default = Answer(500)
        body = make.body(
            callback={"url": receiver.url}, retry={"max_attempts": 1}, on_failure={"email": False, "webhook": None}
        )
        cue_id = api.post("/v1/cues", body).json()["id"]

        fire(api, cue_id, worker), fire(api, cue_id, worker)
        assert api.get("/v1/alerts").json()["total"] == 0
        last = fire(api, cue_id, worker)
        (alert,) = api.get("/v1/alerts", cue_id=cue_id).json()["alerts"]
        assert (alert["alert_type"], alert["execution_id"]) == ("consecutive_failures", last)
        assert alert["metadata"] == {"consecutive_failures": 3}

        (page,) = pager.wait_for(1)
        stamp = page.headers["X-CueAPI-Timestamp"]
        assert page.headers["X-CueAPI-Signature"] == signature(secret, stamp, page.body)
        assert abs(time.time() - int(stamp)) < 300
        assert page.headers["X-CueAPI-Alert-Id"] == page.json["alert_id"] == alert["id"]
        assert {key: page.json[key] for key in ("cue_id", "execution_id", "message", "metadata", "created_at")} == {
            key: alert[key] for key in ("cue_id", "execution_id", "message", "metadata", "created_at")
        }

        fire(api, cue_id, worker)
        assert api.get("/v1/alerts").json()["total"] == 1
        assert len(pager.received) == 1
        assert api.post(f"/v1/alerts/{alert['id']}/acknowledge").json()["acknowledged"] is True
        assert api.get("/v1/alerts", acknowledged="false").json()["alerts"] == []
