"""The text of the stream of events: https://html.spec.whatwg.org/multipage/server-sent-events.html"""

import json
from typing import Any

from cueapi.clock import rfc3339
from executions.feed import Change, Position
from executions.models import Execution
from executions.states import FINAL, Status

RETRIES = frozenset({Status.RETRYING, Status.RETRY_READY})
RETRY_MS = 2000  # what a client waits before it comes back


def hello(position: Position) -> bytes:
    """Where the stream starts, so that one that breaks before its first event goes on from there."""
    return f"retry: {RETRY_MS}\nid: {position}\n\n".encode()


def heartbeat(position: Position) -> bytes:
    return f": heartbeat\nid: {position}\n\n".encode()


def farewell(position: Position) -> bytes:
    return f": come again\nretry: {RETRY_MS}\nid: {position}\n\n".encode()


def event(change: Change) -> bytes:
    data = json.dumps(compact(change.execution), separators=(",", ":"))
    return f"event: {name_of(change.execution)}\nid: {change.position}\ndata: {data}\n\n".encode()


def name_of(execution: Execution) -> str:
    if execution.status in FINAL:
        return "execution.final"
    is_new = execution.updated_at == execution.created_at
    return "execution.created" if is_new else "execution.updated"


def compact(execution: Execution) -> dict[str, Any]:
    """As in the list, without what may be large; GET /v1/executions/{id} has the rest."""
    return {
        "id": str(execution.pk),
        "cue_id": execution.cue_id,
        "scheduled_for": rfc3339(execution.scheduled_for),
        "status": execution.status,
        "triggered_by": execution.triggered_by,
        "attempts": execution.attempts,
        "http_status": execution.http_status,
        "next_retry": rfc3339(execution.due_at) if execution.status in RETRIES else None,
        "error_message": execution.error_message,
        "error_class": execution.error_class,
        "claimed_by_worker": execution.claimed_by_worker,
        "outcome_state": execution.outcome_state,
        "outcome_success": execution.outcome_success,
        "created_at": rfc3339(execution.created_at),
        "updated_at": rfc3339(execution.updated_at),
        "closed_at": rfc3339(execution.closed_at),
    }
