"""docs/workers.md, run as printed."""

import pytest

from tests.support.api import Api
from tests.support.envelope import refused
from tests.support.printed import Page, send

PAGE = Page("docs/workers.md")

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_worker_asks_works_and_reports(api: Api, anyone: Api, settings: object) -> None:
    assert send(api, PAGE.curl("/v1/worker/heartbeat")).status_code == 200
    cue = send(api, PAGE.curl("/v1/cues")).json()
    assert (cue["transport"], cue["warning"]) == ("worker", None)
    api.post(f"/v1/cues/{cue['id']}/fire")
    claim = send(api, PAGE.curl("/v1/executions/claim")).json()
    assert claim["payload"] == {"task": "report"}
    assert send(anyone, PAGE.curl("OUTCOME_URL"), OUTCOME_URL=claim["outcome_url"]).status_code == 200
    (run,) = api.get("/v1/executions").json()["executions"]
    assert (run["status"], run["outcome"]["external_id"]) == ("success", "msg:88")


def test_where_nothing_waits_the_answer_is_a_conflict(api: Api) -> None:
    command = PAGE.curl("/v1/executions/claim").replace('"wait": 20', '"wait": 0.1')
    refused(send(api, command), 409, "claim_failed")
