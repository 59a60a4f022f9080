"""The calls of the seed article, as printed: the curl commands and their httpx twins.

Three things in them are placeholders: the host, the key and the execution id. The httpx calls keep even those; the
client that sends them (`client_of`) puts the real key and id in their place.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.support import curl
from tests.support.api import Api
from tests.support.wire import wire

KEY = "cue_sk_your_key"
EXECUTION = "exec_123"

PROCESS_INQUIRY = """
# Create a cue for customer inquiry processing with built-in reliability
curl -X POST https://api.cueapi.ai/v1/cues \\
-H "Authorization: Bearer cue_sk_your_key" \\
-H "Content-Type: application/json" \\
-d '{
"name": "process-customer-inquiry",
"description": "Process customer inquiry with reliability",
"schedule": {
"type": "one-time",
"at": null,
"timezone": "UTC"
},
"transport": "webhook",
"callback": {
"url": "https://api.yourapp.com/webhooks/inquiry-processed",
"method": "POST"
},
"payload": {
"inquiryId": "inquiry_123"
},
"retry": {
"max_attempts": 3,
"backoff_minutes": [1, 5, 15]
},
"on_failure": {
"email": true,
"webhook": null,
"pause": false
}
}'
"""

REPORT_SUCCESS = """
# Report successful completion
curl -X POST https://api.cueapi.ai/v1/executions/exec_123/outcome \\
-H "Authorization: Bearer cue_sk_your_key" \\
-H "Content-Type: application/json" \\
-d '{
"success": true,
"result": "Processed customer inquiry successfully",
"error": null,
"metadata": {
"duration_ms": 2500,
"inquiryId": "inquiry_123"
}
}'
"""

NOTIFY_COMPLETION = """
# Create cue with reliable webhook delivery
curl -X POST https://api.cueapi.ai/v1/cues \\
-H "Authorization: Bearer cue_sk_your_key" \\
-H "Content-Type: application/json" \\
-d '{
"name": "notify-completion",
"schedule": {
"type": "one-time",
"at": null,
"timezone": "UTC"
},
"transport": "webhook",
"callback": {
"url": "https://external-system.com/webhook",
"method": "POST",
"headers": {
"Authorization": "Bearer your_token"
}
},
"payload": {
"taskId": "task_123",
"result": "processed_data"
},
"retry": {
"max_attempts": 5,
"backoff_minutes": [1, 2, 4, 8, 16]
}
}'
"""

FALLBACK = """
# Create fallback cue when circuit is open
curl -X POST https://api.cueapi.ai/v1/cues \\
-H "Authorization: Bearer cue_sk_your_key" \\
-H "Content-Type: application/json" \\
-d '{
"name": "fallback-processing",
"schedule": {
"type": "one-time",
"at": "2024-01-01T12:05:00Z",
"timezone": "UTC"
},
"transport": "webhook",
"callback": {
"url": "https://api.yourapp.com/webhooks/fallback",
"method": "POST"
},
"payload": {
"original_task": "customer_inquiry_123",
"reason": "circuit_breaker_open"
}
}'
"""

HEALTH_CHECK = """
# Schedule regular health checks
curl -X POST https://api.cueapi.ai/v1/cues \\
-H "Authorization: Bearer cue_sk_your_key" \\
-H "Content-Type: application/json" \\
-d '{
"name": "agent-health-check",
"schedule": {
"type": "recurring",
"cron": "*/5 * * * *",
"timezone": "UTC"
},
"transport": "webhook",
"callback": {
"url": "https://monitoring.yourapp.com/health",
"method": "POST"
},
"payload": {
"agentId": "customer-support-agent"
},
"retry": {
"max_attempts": 3,
"backoff_minutes": [1, 3, 5]
}
}'
"""


def by_curl(api: Api, command: str, execution_id: str = EXECUTION) -> Any:
    """Send a printed curl command with this account's key and this execution's id."""
    call = curl.parse(command.replace(KEY, str(api.key)).replace(EXECUTION, execution_id))
    assert call.headers["Authorization"] == f"Bearer {api.key}"
    return api.send(call.method, call.path, call.body, **dict(call.headers))


def created(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 201, answer.content
    cue: dict[str, Any] = answer.json()
    return cue


def client_of(api: Api) -> httpx.Client:
    """A client that reads the article's host and key as this server and this account's key."""

    def use_key(request: httpx.Request) -> None:
        request.headers["Authorization"] = request.headers["Authorization"].replace(KEY, str(api.key))

    return wire(None, use_key)


def process_inquiry(client: httpx.Client) -> httpx.Response:
    # Schedule customer inquiry processing with built-in reliability
    return client.post(
        "https://api.cueapi.ai/v1/cues",
        headers={"Authorization": "Bearer cue_sk_your_key"},
        json={
            "name": "process-customer-inquiry",
            "description": "Process customer inquiry with reliability",
            "schedule": {"type": "one-time", "at": None, "timezone": "UTC"},
            "transport": "webhook",
            "callback": {"url": "https://api.yourapp.com/webhooks/inquiry-processed", "method": "POST"},
            "payload": {"inquiryId": "inquiry_123"},
            "retry": {"max_attempts": 3, "backoff_minutes": [1, 5, 15]},
            "on_failure": {"email": True, "webhook": None, "pause": False},
        },
    )


def handle_customer_inquiry(
    client: httpx.Client, payload: dict[str, Any], analyze_inquiry: Callable[[str], object]
) -> httpx.Response:
    """The article's agent; what it awaits is passed in."""
    try:
        analyze_inquiry(payload["inquiryId"])
        # Report successful completion
        return client.post(
            f"https://api.cueapi.ai/v1/executions/{payload['execution_id']}/outcome",
            headers={"Authorization": "Bearer cue_sk_your_key"},
            json={
                "success": True,
                "result": "Processed customer inquiry successfully",
                "error": None,
                "metadata": {"duration_ms": 2500, "inquiryId": payload["inquiryId"]},
            },
        )
    except Exception as error:
        # Report failure
        return client.post(
            f"https://api.cueapi.ai/v1/executions/{payload['execution_id']}/outcome",
            headers={"Authorization": "Bearer cue_sk_your_key"},
            json={
                "success": False,
                "result": None,
                "error": str(error),
                "metadata": {"inquiryId": payload["inquiryId"]},
            },
        )


def out_of_order(inquiry_id: str) -> None:
    """An analysis that fails."""
    raise RuntimeError(f"cannot analyze {inquiry_id}")


def notify_completion(client: httpx.Client) -> httpx.Response:
    # Ensure webhook delivery with automatic retries
    return client.post(
        "https://api.cueapi.ai/v1/cues",
        headers={"Authorization": "Bearer cue_sk_your_key"},
        json={
            "name": "notify-completion",
            "schedule": {"type": "one-time", "at": None, "timezone": "UTC"},
            "transport": "webhook",
            "callback": {
                "url": "https://external-system.com/webhook",
                "method": "POST",
                "headers": {"Authorization": "Bearer your_token"},
            },
            "payload": {"taskId": "task_123", "result": "processed_data"},
            "retry": {"max_attempts": 5, "backoff_minutes": [1, 2, 4, 8, 16]},
        },
    )


def process_with_circuit_breaker(client: httpx.Client, payload: dict[str, Any]) -> httpx.Response:
    # Schedule fallback task instead
    delay_time = datetime.now(UTC).replace(tzinfo=None) + timedelta(minutes=5)  # what utcnow() gives
    return client.post(
        "https://api.cueapi.ai/v1/cues",
        headers={"Authorization": "Bearer cue_sk_your_key"},
        json={
            "name": "fallback-processing",
            "schedule": {"type": "one-time", "at": delay_time.isoformat() + "Z", "timezone": "UTC"},
            "transport": "webhook",
            "callback": {"url": "https://api.yourapp.com/webhooks/fallback", "method": "POST"},
            "payload": payload,
        },
    )


def handle_failed_task(
    client: httpx.Client, payload: dict[str, Any], execution_id: str, attempt_count: int
) -> httpx.Response | None:
    MAX_RETRIES = 3  # noqa: N806  as printed
    if attempt_count < MAX_RETRIES:
        return None
    # Send to dead letter queue for manual review
    return client.post(
        "https://api.cueapi.ai/v1/cues",
        headers={"Authorization": "Bearer cue_sk_your_key"},
        json={
            "name": "dead-letter-review",
            "schedule": {"type": "one-time", "at": None, "timezone": "UTC"},
            "transport": "webhook",
            "callback": {"url": "https://api.yourapp.com/webhooks/manual-review", "method": "POST"},
            "payload": {
                "original_task": payload,
                "reason": "max_retries_exceeded",
                "failed_execution_id": execution_id,
            },
        },
    )


def health_check(client: httpx.Client) -> httpx.Response:
    # Schedule regular health checks
    return client.post(
        "https://api.cueapi.ai/v1/cues",
        headers={"Authorization": "Bearer cue_sk_your_key"},
        json={
            "name": "agent-health-check",
            "schedule": {
                "type": "recurring",
                "cron": "*/5 * * * *",  # Every 5 minutes
                "timezone": "UTC",
            },
            "transport": "webhook",
            "callback": {"url": "https://monitoring.yourapp.com/health", "method": "POST"},
            "payload": {"agentId": "customer-support-agent"},
            "retry": {"max_attempts": 3, "backoff_minutes": [1, 3, 5]},
        },
    )
