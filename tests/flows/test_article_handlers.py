"""The seed article's handlers at work: its calls delivered to a receiver that runs its code (contract section 13)."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connections
from django.test import override_settings

from cueapi.conf import conf
from tests.support import article
from tests.support.api import Api, api_of_new_account
from tests.support.article import by_curl, client_of, created
from tests.support.envelope import refused
from tests.support.receiver import Answer, Received, Receiver
from tests.support.worker import Worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def only_execution(api: Api) -> dict[str, Any]:
    (execution,) = api.get("/v1/executions").json()["executions"]
    detail: dict[str, Any] = api.get(f"/v1/executions/{execution['id']}").json()
    return detail


# --- Rows 8, 9, 13, 16, 17: the handler -------------------------------------------------------------------------


def deliver_to(receiver: Receiver, api: Api, command: str) -> dict[str, Any]:
    """Send a printed command; only its callback's URL becomes that of our receiver."""
    for printed in (
        "https://api.yourapp.com/webhooks/inquiry-processed",
        "https://external-system.com/webhook",
    ):
        command = command.replace(printed, receiver.url)
    return created(by_curl(api, command))


class Agent:
    """The article's webhook handler: it runs the printed code on the body, or on the payload inside it."""

    def __init__(self, api: Api, part: str, analyze_inquiry: Callable[[str], object]) -> None:
        self.api, self.part, self.analyze_inquiry = api, part, analyze_inquiry
        self.reports: list[Any] = []

    def __call__(self, received: Received) -> Answer:
        payload = received.json if self.part == "body" else received.json["payload"]
        try:
            with client_of(self.api) as client:
                self.reports.append(article.handle_customer_inquiry(client, payload, self.analyze_inquiry))
        finally:
            connections.close_all()  # those of this receiver's thread
        return Answer(200)


either_view = pytest.mark.parametrize("part", ["body", "payload"])


@either_view
def test_row_8_both_views_hold_the_payload_and_the_execution_id(
    api: Api, receiver: Receiver, worker: Worker, part: str
) -> None:
    deliver_to(receiver, api, article.PROCESS_INQUIRY)
    worker.run()
    (webhook,) = receiver.received
    view = webhook.json if part == "body" else webhook.json["payload"]
    assert view["inquiryId"] == "inquiry_123"
    assert view["execution_id"] == only_execution(api)["id"]


def test_row_9_body_and_headers_give_the_dead_letter_code_what_it_wants(
    api: Api, receiver: Receiver, worker: Worker
) -> None:
    receiver.default = Answer(503)
    deliver_to(receiver, api, article.PROCESS_INQUIRY.replace("[1, 5, 15]", "[0]"))
    worker.run()
    assert [webhook.json["attempt"] for webhook in receiver.received] == [1, 2, 3]
    assert [webhook.headers["X-CueAPI-Attempt"] for webhook in receiver.received] == ["1", "2", "3"]
    last = receiver.received[-1]
    assert last.headers["X-CueAPI-Execution-Id"] == last.json["execution_id"]
    with client_of(api) as client:
        answers = [
            article.handle_failed_task(client, webhook.json, webhook.json["execution_id"], webhook.json["attempt"])
            for webhook in receiver.received
        ]
    assert answers[:2] == [None, None]
    letter = created(answers[2])
    assert letter["payload"]["failed_execution_id"] == last.json["execution_id"]
    assert letter["payload"]["original_task"]["inquiryId"] == "inquiry_123"


@either_view
def test_row_16_an_outcome_reported_before_the_2xx_stands(
    api: Api, receiver: Receiver, worker: Worker, part: str
) -> None:
    receiver.default = agent = Agent(api, part, analyze_inquiry=len)
    deliver_to(receiver, api, article.PROCESS_INQUIRY)
    worker.run()
    assert [report.status_code for report in agent.reports] == [200]
    execution = only_execution(api)
    assert (execution["status"], execution["http_status"], execution["attempts"]) == ("success", 200, 1)
    assert (execution["outcome_state"], execution["outcome_success"]) == ("reported_success", True)
    assert execution["outcome"]["result"] == "Processed customer inquiry successfully"
    assert execution["outcome"]["error"] is None
    assert execution["outcome"]["metadata"] == {"duration_ms": 2500, "inquiryId": "inquiry_123"}


@either_view
def test_row_17_a_reported_failure_with_a_2xx_is_stored_and_not_sent_again(
    api: Api, receiver: Receiver, worker: Worker, part: str
) -> None:
    receiver.default = agent = Agent(api, part, analyze_inquiry=article.out_of_order)
    deliver_to(receiver, api, article.PROCESS_INQUIRY.replace("[1, 5, 15]", "[0]"))
    worker.run()
    assert [report.status_code for report in agent.reports] == [200]
    assert len(receiver.received) == 1
    execution = only_execution(api)
    assert (execution["status"], execution["outcome_state"]) == ("success", "reported_failure")
    assert execution["outcome"]["success"] is False
    assert execution["outcome"]["result"] is None
    assert execution["outcome"]["error"] == "cannot analyze inquiry_123"
    assert execution["outcome"]["metadata"] == {"inquiryId": "inquiry_123"}


def test_row_13_the_method_and_the_own_authorization_header_are_sent(
    api: Api, receiver: Receiver, worker: Worker
) -> None:
    cue = deliver_to(receiver, api, article.NOTIFY_COMPLETION)
    assert cue["callback"]["headers"] == {"Authorization": "Bearer your_token"}
    worker.run()
    (webhook,) = receiver.received
    assert (webhook.method, webhook.headers["Authorization"]) == ("POST", "Bearer your_token")
    assert webhook.json["payload"]["taskId"] == webhook.json["taskId"] == "task_123"


# --- Rows 7, 10, 18, 19: when it fails, and what remains --------------------------------------------------------------


def test_row_7_a_host_that_does_not_resolve_is_tried_again(api: Api, worker: Worker) -> None:
    created(by_curl(api, article.PROCESS_INQUIRY))
    worker.run()
    execution = only_execution(api)
    assert (execution["status"], execution["attempts"], execution["http_status"]) == ("retrying", 1, None)
    assert "api.yourapp.com" in execution["error_message"]
    wait = datetime.fromisoformat(execution["next_retry"]) - datetime.fromisoformat(execution["last_attempt_at"])
    assert timedelta(minutes=1) <= wait < timedelta(minutes=1, seconds=5)


def test_row_10_three_attempts_is_the_total_so_the_third_wait_is_never_used(
    api: Api, receiver: Receiver, worker: Worker
) -> None:
    receiver.default = Answer(500)
    deliver_to(receiver, api, article.PROCESS_INQUIRY.replace("[1, 5, 15]", "[0, 0, 1440]"))
    worker.run()
    execution = only_execution(api)
    assert (execution["status"], execution["attempts"], execution["next_retry"]) == ("failed", 3, None)


def test_row_18_a_free_account_gets_its_place_back_when_a_one_shot_ends(receiver: Receiver, worker: Worker) -> None:
    with override_settings(CUEAPI=conf().model_copy(update={"default_plan": "free"})):
        free = api_of_new_account("free@example.org")
    for _ in range(10):
        deliver_to(receiver, free, article.PROCESS_INQUIRY)
    error = refused(by_curl(free, article.PROCESS_INQUIRY), 403, "cue_limit_exceeded")
    assert "10" in error["message"]
    worker.run()
    assert len(receiver.received) == 10
    created(by_curl(free, article.PROCESS_INQUIRY))


def test_row_19_the_list_shows_all_of_every_execution(api: Api, receiver: Receiver, worker: Worker) -> None:
    receiver.default = Agent(api, "body", analyze_inquiry=len)
    cue = deliver_to(receiver, api, article.PROCESS_INQUIRY)
    worker.run()
    (execution,) = api.get("/v1/executions").json()["executions"]
    assert execution["cue_id"] == cue["id"]
    assert execution["payload"] == {"inquiryId": "inquiry_123"}
    assert execution["triggered_by"] == "scheduled"
    assert execution["outcome_state"] == "reported_success"
    assert execution["outcome"]["metadata"]["inquiryId"] == "inquiry_123"
    assert execution["response_body"] is None
