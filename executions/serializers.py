"""The shapes of executions and of what is said about them."""

import json
from typing import Any

from rest_framework import serializers

from cueapi import fields
from cueapi.clock import rfc3339
from cueapi.errors import BadRequest
from cues.serializers import CueOut, Optional
from executions.models import Attempt, Execution, Step
from executions.states import OutcomeState, Status, Trigger

METADATA_MAX_BYTES = 10_240


# --- What comes in ----------------------------------------------------------------------------------------------


class EvidenceIn(Optional):
    external_id = fields.Text(allow_null=True, allow_blank=True, max_length=500)
    result_url = fields.Text(allow_null=True, allow_blank=True, max_length=2000)
    result_ref = fields.Text(allow_null=True, allow_blank=True, max_length=500)
    result_type = fields.Text(allow_null=True, allow_blank=True, max_length=100)
    summary = fields.Text(allow_null=True, allow_blank=True, help_text="cut to 500 characters")
    artifacts = fields.JsonList(allow_null=True)
    assertions = fields.JsonObject(allow_null=True)
    metadata = fields.JsonObject(allow_null=True, help_text="at most 10 240 bytes of JSON")

    def validate_result_url(self, url: str | None) -> str | None:
        if url and not url.lower().startswith(("http://", "https://")):
            raise serializers.ValidationError("must be an http or https URL")
        return url

    def validate_metadata(self, metadata: dict[str, Any] | None) -> dict[str, Any] | None:
        size = len(json.dumps(metadata, ensure_ascii=False, separators=(",", ":")).encode())
        if size > METADATA_MAX_BYTES:
            raise BadRequest(
                f"metadata is {size} bytes of JSON; {METADATA_MAX_BYTES} are the most.",
                code="metadata_too_large",
            )
        return metadata


class OutcomeIn(EvidenceIn):
    success = fields.Flag()
    result = fields.Text(allow_null=True, allow_blank=True, trim_whitespace=False)
    error = fields.Text(allow_null=True, allow_blank=True, trim_whitespace=False)

    def get_fields(self) -> dict[str, Any]:
        fields_ = super().get_fields()
        fields_["success"].required = True
        return fields_


class VerifyIn(Optional):
    valid = fields.Flag(default=True)
    reason = fields.Text(allow_null=True, allow_blank=True, max_length=500)


class FireIn(Optional):
    payload_override = fields.JsonObject(allow_null=True)
    merge_strategy = fields.Choice(["merge", "replace"], allow_null=True)
    send_at = fields.Text(allow_null=True, allow_blank=True, help_text="RFC 3339; in the past means now")
    exit_criteria = serializers.ListField(
        child=fields.Text(max_length=255), max_length=20, allow_null=True, allow_empty=True
    )
    idempotency_key = fields.Text(allow_null=True, max_length=256)


# --- What goes out ----------------------------------------------------------------------------------------------


class OutcomeOut(serializers.Serializer):
    success = fields.Flag()
    result = fields.Text(allow_null=True)
    error = fields.Text(allow_null=True)
    metadata = fields.JsonObject(allow_null=True)
    recorded_at = fields.Instant()
    external_id = fields.Text(allow_null=True)
    result_url = fields.Text(allow_null=True)
    result_ref = fields.Text(allow_null=True)
    result_type = fields.Text(allow_null=True)
    summary = fields.Text(allow_null=True)
    artifacts = fields.JsonList(allow_null=True)
    validation_state = fields.Text(allow_null=True)
    assertions = fields.JsonObject(allow_null=True)


class ExecutionOut(serializers.Serializer):
    """An execution as the API shows it."""

    id = serializers.UUIDField()
    cue_id = fields.Text()
    scheduled_for = fields.Instant()
    status = serializers.ChoiceField(Status.values)
    triggered_by = serializers.ChoiceField(Trigger.values)
    payload = fields.JsonObject()
    http_status = fields.Whole(allow_null=True)
    response_body = fields.Text(allow_null=True)
    attempts = fields.Whole()
    next_retry = fields.Instant(allow_null=True)
    error_message = fields.Text(allow_null=True)
    started_at = fields.Instant(allow_null=True)
    delivered_at = fields.Instant(allow_null=True)
    last_attempt_at = fields.Instant(allow_null=True)
    claimed_by_worker = fields.Text(allow_null=True)
    claimed_at = fields.Instant(allow_null=True)
    last_heartbeat_at = fields.Instant(allow_null=True)
    lease_expires_at = fields.Instant(allow_null=True)
    outcome_state = serializers.ChoiceField(OutcomeState.values, allow_null=True)
    outcome_success = fields.Flag(allow_null=True)
    outcome_deadline_at = fields.Instant(allow_null=True)
    outcome = OutcomeOut(allow_null=True)
    replayed_from = serializers.UUIDField(allow_null=True)
    chain_parent_id = serializers.UUIDField(allow_null=True)
    chain_depth = fields.Whole()
    created_at = fields.Instant()
    updated_at = fields.Instant()


class AttemptOut(serializers.Serializer):
    number = fields.Whole()
    started_at = fields.Instant()
    duration_ms = fields.Whole()
    url = fields.Text()
    http_status = fields.Whole(allow_null=True)
    error_stage = fields.Text(allow_null=True)
    error_message = fields.Text(allow_null=True)
    response_body = fields.Text()
    response_headers = fields.JsonObject()


class StepOut(serializers.Serializer):
    at = fields.Instant()
    before = fields.Text(allow_null=True)
    after = fields.Text()
    reason = fields.Text()


class ExecutionDetail(ExecutionOut):
    """One execution with each attempt and each step it took."""

    attempt_log = AttemptOut(many=True)
    history = StepOut(many=True)


class ExecutionList(serializers.Serializer):
    executions = ExecutionOut(many=True)
    total = fields.Whole()
    limit = fields.Whole()
    offset = fields.Whole()
    has_more = fields.Flag()
    oldest_claimed_at = fields.Instant(allow_null=True)


class CueDetail(CueOut):
    executions = ExecutionOut(many=True)
    execution_total = fields.Whole()
    execution_limit = fields.Whole()
    execution_offset = fields.Whole()


class FireOut(serializers.Serializer):
    id = serializers.UUIDField()
    execution_id = serializers.UUIDField()
    cue_id = fields.Text()
    scheduled_for = fields.Instant()
    status = fields.Text()
    triggered_by = fields.Text()


class ReplayOut(FireOut):
    replayed_from = serializers.UUIDField()


class OutcomeRecorded(serializers.Serializer):
    execution_id = serializers.UUIDField()
    outcome_recorded = fields.Flag()
    outcome_state = fields.Text()
    reason = fields.Text(allow_null=True)


class EvidenceUpdated(serializers.Serializer):
    execution_id = serializers.UUIDField()
    outcome_state = fields.Text()
    evidence_updated = fields.Flag()


class Verified(serializers.Serializer):
    execution_id = serializers.UUIDField()
    outcome_state = fields.Text()
    valid = fields.Flag()
    reason = fields.Text(allow_null=True)


class VerificationAwaited(serializers.Serializer):
    execution_id = serializers.UUIDField()
    outcome_state = fields.Text()


class PollerOut(serializers.Serializer):
    last_run = fields.Instant(allow_null=True)
    seconds_ago = fields.Whole(allow_null=True)
    cues_last_cycle = fields.Whole(allow_null=True)
    cycle_duration_ms = fields.Whole(allow_null=True)


class ServicesOut(serializers.Serializer):
    postgres = fields.Text()
    redis = fields.Text()
    poller = fields.Text()
    worker = fields.Text()


class WorkersOut(serializers.Serializer):
    active_count = fields.Whole()


class QueueOut(serializers.Serializer):
    pending_outbox = fields.Whole()
    stale_executions = fields.Whole()
    pending_retries = fields.Whole()
    pending_worker_claims = fields.Whole()


class HealthOut(serializers.Serializer):
    status = serializers.ChoiceField(["healthy", "degraded"])
    version = fields.Text()
    timestamp = fields.Instant()
    services = ServicesOut()
    poller = PollerOut()
    workers = WorkersOut()
    queue = QueueOut()


# --- Rendering --------------------------------------------------------------------------------------------------


def render(execution: Execution) -> dict[str, Any]:
    """The execution object of contract 4.1."""
    waits = execution.status in (Status.RETRYING, Status.RETRY_READY)
    return {
        "id": str(execution.pk),
        "cue_id": execution.cue_id,
        "scheduled_for": rfc3339(execution.scheduled_for),
        "status": execution.status,
        "triggered_by": execution.triggered_by,
        "payload": execution.payload,
        "http_status": execution.http_status,
        "response_body": execution.response_body,
        "attempts": execution.attempts,
        "next_retry": rfc3339(execution.due_at) if waits else None,
        "error_message": execution.error_message,
        "started_at": rfc3339(execution.started_at),
        "delivered_at": rfc3339(execution.delivered_at),
        "last_attempt_at": rfc3339(execution.last_attempt_at),
        "claimed_by_worker": execution.claimed_by_worker,
        "claimed_at": rfc3339(execution.claimed_at),
        "last_heartbeat_at": rfc3339(execution.last_heartbeat_at),
        "lease_expires_at": rfc3339(execution.lease_expires_at),
        "outcome_state": execution.outcome_state,
        "outcome_success": execution.outcome_success,
        "outcome_deadline_at": rfc3339(execution.outcome_deadline_at),
        "outcome": _outcome(execution),
        "replayed_from": _text(execution.replayed_from_id),
        "chain_parent_id": _text(execution.chain_parent_id),
        "chain_depth": execution.chain_depth,
        "created_at": rfc3339(execution.created_at),
        "updated_at": rfc3339(execution.updated_at),
    }


def _outcome(execution: Execution) -> dict[str, Any] | None:
    if execution.outcome_recorded_at is None:
        return None
    return {
        "success": execution.outcome_success,
        "result": execution.outcome_result,
        "error": execution.outcome_error,
        "metadata": execution.outcome_metadata,
        "recorded_at": rfc3339(execution.outcome_recorded_at),
        "external_id": execution.external_id,
        "result_url": execution.result_url,
        "result_ref": execution.result_ref,
        "result_type": execution.result_type,
        "summary": execution.summary,
        "artifacts": execution.artifacts,
        "validation_state": execution.validation_state,
        "assertions": execution.assertions,
    }


def render_detail(execution: Execution) -> dict[str, Any]:
    attempts = [_attempt(attempt) for attempt in execution.attempt_log.order_by("number")]
    history = [_step(step) for step in execution.steps.order_by("at", "pk")]
    return {**render(execution), "attempt_log": attempts, "history": history}


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "started_at": rfc3339(attempt.started_at),
        "duration_ms": attempt.duration_ms,
        "url": attempt.url,
        "http_status": attempt.http_status,
        "error_stage": attempt.error_stage or None,
        "error_message": attempt.error_message or None,
        "response_body": attempt.response_body,
        "response_headers": attempt.response_headers,
    }


def _step(step: Step) -> dict[str, Any]:
    return {"at": rfc3339(step.at), "before": step.before or None, "after": step.after, "reason": step.reason}


def render_fire(execution: Execution) -> dict[str, Any]:
    return {
        "id": str(execution.pk),
        "execution_id": str(execution.pk),
        "cue_id": execution.cue_id,
        "scheduled_for": rfc3339(execution.scheduled_for),
        "status": execution.status,
        "triggered_by": execution.triggered_by,
    }


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
