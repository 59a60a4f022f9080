"""The shapes of pulling: claims, heartbeats, workers."""

from typing import Any

from rest_framework import serializers

from cueapi import fields
from cueapi.clock import rfc3339
from executions import workers
from executions.models import Execution, Worker
from executions.report_links import ReportLinks

HANDLERS_MAX = 1000
PATH_NAMES = frozenset({"heartbeat", "register"})  # of /v1/workers/…
WAIT_MAX_S = 1_000_000  # a server shortens it anyway (LONG_POLL_MAX_SECONDS)


# --- What comes in ----------------------------------------------------------------------------------------------


class ClaimIn(fields.Part):
    worker_id = fields.Text(max_length=255, help_text="your own name for the worker, 1 to 255 characters")

    def validate_worker_id(self, worker_id: str) -> str:
        if not worker_id.isprintable() or worker_id in PATH_NAMES:
            raise serializers.ValidationError(
                f"must be printable, and not one of: {', '.join(sorted(PATH_NAMES))}, which are paths of this API"
            )
        return worker_id


class Wait(serializers.FloatField):
    """Seconds, 0 or more."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(style={"minimum": 0, "maximum": WAIT_MAX_S}, **kwargs)

    default_error_messages = {"invalid": "must be a number of seconds, 0 or more, such as 20"}

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool) or not isinstance(data, int | float) or not 0 <= data <= WAIT_MAX_S:
            self.fail("invalid")
        return float(data)


class ClaimNextIn(ClaimIn):
    task = fields.Text(required=False, allow_null=True, max_length=255)
    agent = fields.Text(required=False, allow_null=True, max_length=255)
    wait = Wait(required=False, allow_null=True, help_text="seconds to wait for work")


class WorkerHeartbeatIn(ClaimIn):
    handlers = fields.Items(child=fields.Text(max_length=255), max_length=HANDLERS_MAX, required=False, allow_null=True)


# --- What goes out ----------------------------------------------------------------------------------------------


class ClaimableItem(serializers.Serializer):
    execution_id = serializers.UUIDField()
    cue_id = fields.Text()
    cue_name = fields.Text()
    task = serializers.JSONField(allow_null=True)
    scheduled_for = fields.Instant()
    payload = fields.JsonObject()
    attempt = fields.Whole(help_text="attempts so far")


class ClaimableList(serializers.Serializer):
    executions = ClaimableItem(many=True)


class Claimed(serializers.Serializer):
    claimed = fields.Flag()
    execution_id = serializers.UUIDField()
    lease_seconds = fields.Whole()
    lease_expires_at = fields.Instant()
    cue_id = fields.Text()
    cue_name = fields.Text()
    task = serializers.JSONField(allow_null=True)
    payload = fields.JsonObject()
    attempt = fields.Whole(help_text="from 1")
    outcome_url = fields.Text(help_text="reports the outcome without an API key")
    heartbeat_url = fields.Text()


class HeartbeatNoted(serializers.Serializer):
    execution_id = serializers.UUIDField()
    lease_extended_until = fields.Instant()
    acknowledged = fields.Flag()


class WorkerNoted(serializers.Serializer):
    acknowledged = fields.Flag()
    server_time = fields.Instant()


class WorkerOut(serializers.Serializer):
    worker_id = fields.Text()
    handlers = fields.Items(child=fields.Text(), allow_null=True)
    last_heartbeat = fields.Instant()
    seconds_since_heartbeat = fields.Whole()
    heartbeat_status = serializers.ChoiceField(["active", "stale", "dead"])
    registered_since = fields.Instant()


class WorkerList(serializers.Serializer):
    workers = WorkerOut(many=True)
    total = fields.Whole()


# --- Rendering --------------------------------------------------------------------------------------------------


def render_claimable(execution: Execution) -> dict[str, Any]:
    return {
        "execution_id": str(execution.pk),
        "cue_id": execution.cue_id,
        "cue_name": execution.cue.name,
        "task": execution.payload.get("task"),
        "scheduled_for": rfc3339(execution.scheduled_for),
        "payload": execution.payload,
        "attempt": execution.attempts,
    }


def render_claimed(execution: Execution, links: ReportLinks, *, lease_seconds: int) -> dict[str, Any]:
    return {
        "claimed": True,
        "execution_id": str(execution.pk),
        "lease_seconds": lease_seconds,
        "lease_expires_at": rfc3339(execution.lease_expires_at),
        "cue_id": execution.cue_id,
        "cue_name": execution.cue.name,
        "task": execution.payload.get("task"),
        "payload": execution.payload,
        "attempt": execution.attempts,
        "outcome_url": links.outcome_url,
        "heartbeat_url": links.heartbeat_url,
    }


def render_worker(worker: Worker, *, now: Any) -> dict[str, Any]:
    return {
        "worker_id": worker.worker_id,
        "handlers": worker.handlers,
        "last_heartbeat": rfc3339(worker.last_heartbeat_at),
        "seconds_since_heartbeat": max(0, int((now - worker.last_heartbeat_at).total_seconds())),
        "heartbeat_status": workers.state_of(worker, now=now),
        "registered_since": rfc3339(worker.registered_at),
    }
