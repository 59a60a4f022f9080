"""The shapes of executions, and of the calls that make one."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any
from uuid import UUID

from rest_framework import serializers

from cueapi import fields
from cueapi.clock import rfc3339
from cueapi.fields import Optional
from cues.serializers.answers import CueOut
from executions.dead_letters import REPLAYS_SHOWN, replays_of
from executions.failures import ErrorClass
from executions.firing import ReplayOf
from executions.models import Attempt, Execution, Step
from executions.serializers.outcomes import OutcomeOut, render_outcome
from executions.states import BreakerState, OutcomeState, Status, Trigger
from executions.statistics import WINDOW, CueStats
from executions.steering import waits_for


class FireIn(Optional):
    payload_override = fields.JsonObject(allow_null=True)
    merge_strategy = fields.Choice(["merge", "replace"], allow_null=True)
    send_at = fields.Text(allow_null=True, help_text="RFC 3339; in the past means now", style={"format": "date-time"})
    exit_criteria = fields.Items(child=fields.Text(max_length=255), max_length=20, allow_null=True, allow_empty=True)
    idempotency_key = fields.Text(allow_null=True, max_length=256, trim_whitespace=False)


def definition_field() -> fields.Choice:
    return fields.Choice(
        [choice.value for choice in ReplayOf],
        allow_null=True,
        help_text="as_sent (the default): the original's payload and criteria; current: those its cue has now",
    )


class ReplayIn(Optional):
    """The body of `POST /v1/executions/{id}/replay`, which may be empty."""

    definition = definition_field()


# --- What goes out ----------------------------------------------------------------------------------------------


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
    response_body = fields.Text(help_text="the first 2,000 characters")
    response_truncated = fields.Flag(help_text="the body went on")
    response_headers = fields.JsonObject()


class StepOut(serializers.Serializer):
    at = fields.Instant()
    before = fields.Text(allow_null=True)
    after = fields.Text()
    reason = fields.Text()


def handled_at_field() -> fields.Instant:
    return fields.Instant(allow_null=True, help_text="when somebody dealt with its bad end otherwise than by a replay")


def handled_by_field() -> fields.Text:
    return fields.Text(allow_null=True, help_text="who said so: an address, or the first characters of a key")


def replays_field() -> serializers.ListField:
    return serializers.ListField(
        child=serializers.UUIDField(), help_text=f"newest first, {REPLAYS_SHOWN} at most; replayed_from leads back"
    )


class WaitsFor(serializers.Serializer):
    """A destination that does not answer, or was opened by hand, or its cue's rate: it waits and spends no attempt."""

    destination = fields.Text()
    state = serializers.ChoiceField(BreakerState.values)
    reason = fields.Text()
    next_probe_at = fields.Instant(allow_null=True, help_text="null: until it is closed by hand")
    rate_per_minute = fields.Whole(required=False, help_text="this and the following: where its cue's rate is why")
    until = fields.Instant(required=False, help_text="when the rate lets it start")


class ExecutionDetail(ExecutionOut):
    """One execution with each attempt and each step it took."""

    waits_for = WaitsFor(allow_null=True, help_text="null: neither a circuit breaker nor its cue's rate is in its way")
    bodies_removed_at = fields.Instant(
        allow_null=True, help_text="when what the receiver answered was removed, because its time was over"
    )
    error_class = serializers.ChoiceField(ErrorClass.values, allow_null=True, help_text="null: it did not end badly")
    closed_at = fields.Instant(allow_null=True)
    handled_at = handled_at_field()
    handled_by = handled_by_field()
    replays = replays_field()
    attempt_log = AttemptOut(many=True)
    history = StepOut(many=True)


class ExecutionList(serializers.Serializer):
    executions = ExecutionOut(many=True)
    total = fields.Whole()
    limit = fields.Whole()
    offset = fields.Whole()
    has_more = fields.Flag()
    oldest_claimed_at = fields.Instant(allow_null=True)


class CueStatsOut(serializers.Serializer):
    window_days = fields.Whole()
    executions = fields.Whole()
    success_rate = serializers.FloatField(allow_null=True, help_text="share of the ended, 0 to 1")
    miss_rate = serializers.FloatField(allow_null=True)


class CueDetail(CueOut):
    executions = ExecutionOut(many=True)
    execution_total = fields.Whole()
    execution_limit = fields.Whole()
    execution_offset = fields.Whole()
    stats = CueStatsOut()


class FireOut(serializers.Serializer):
    id = serializers.UUIDField()
    execution_id = serializers.UUIDField()
    cue_id = fields.Text()
    scheduled_for = fields.Instant()
    status = fields.Text()
    triggered_by = fields.Text()


class ReplayOut(FireOut):
    replayed_from = serializers.UUIDField()


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
        "outcome": render_outcome(execution),
        "replayed_from": _text(execution.replayed_from_id),
        "chain_parent_id": _text(execution.chain_parent_id),
        "chain_depth": execution.chain_depth,
        "created_at": rfc3339(execution.created_at),
        "updated_at": rfc3339(execution.updated_at),
    }


def render_detail(execution: Execution) -> dict[str, Any]:
    attempts = [_attempt(attempt) for attempt in execution.attempt_log.order_by("number")]
    history = [_step(step) for step in execution.steps.order_by("at", "pk")]
    removed_at = rfc3339(execution.bodies_removed_at)
    end = render_end(execution, replays_of([execution.pk]).get(execution.pk, ()))
    return {
        **render(execution),
        **end,
        "waits_for": _waits_for(execution),
        "bodies_removed_at": removed_at,
        "attempt_log": attempts,
        "history": history,
    }


def _waits_for(execution: Execution) -> dict[str, Any] | None:
    wait = waits_for(execution)
    if wait is None:
        return None
    of_rate = {"rate_per_minute": wait.rate_per_minute, "until": rfc3339(wait.until)}
    return {
        "destination": wait.destination,
        "state": wait.state,
        "reason": wait.reason,
        "next_probe_at": rfc3339(wait.next_probe_at),
        **(of_rate if wait.rate_per_minute else {}),
    }


def render_end(execution: Execution, replays: Sequence[UUID]) -> dict[str, Any]:
    return {
        "error_class": execution.error_class,
        "closed_at": rfc3339(execution.closed_at),
        "handled_at": rfc3339(execution.handled_at),
        "handled_by": execution.handled_by,
        "replays": [str(pk) for pk in replays],
    }


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
        "response_truncated": attempt.response_truncated,
        "response_headers": attempt.response_headers,
    }


def _step(step: Step) -> dict[str, Any]:
    return {"at": rfc3339(step.at), "before": step.before or None, "after": step.after, "reason": step.reason}


def render_stats(stats: CueStats) -> dict[str, Any]:
    return {"window_days": WINDOW.days, **asdict(stats)}


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
