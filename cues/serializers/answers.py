"""The shape of a cue as the API shows it (contract 3.1)."""

from typing import Any

from rest_framework import serializers

from cueapi import fields
from cueapi.clock import rfc3339
from cues.models import DEFAULT_OUTCOME_DEADLINE_S, DEFAULT_TIMEOUT_S, CatchUp, Cue, Dst, Overlap, Transport
from cues.schedule import spell_every


class ScheduleOut(serializers.Serializer):
    type = serializers.ChoiceField(["recurring", "once"])
    cron = fields.Text(required=False)
    every = fields.Text(required=False)
    anchor = fields.Instant(required=False)
    at = fields.Instant(required=False)
    timezone = fields.Text()
    starts_at = fields.Instant(required=False, help_text="this and the following: only where they were set")
    ends_at = fields.Instant(required=False)
    max_runs = fields.Whole(required=False)
    jitter_seconds = fields.Whole(required=False)
    dst = serializers.ChoiceField(Dst.values, required=False)
    overlap = serializers.ChoiceField(Overlap.values, required=False)


class CallbackOut(serializers.Serializer):
    url = fields.Text(allow_null=True)
    method = fields.Text()
    headers = serializers.DictField(child=fields.Text())


class RetryOut(serializers.Serializer):
    max_attempts = fields.Whole()
    backoff_minutes = serializers.ListField(child=fields.Whole())
    jitter = fields.Share(required=False, help_text="only where it was set")


class OnFailureOut(serializers.Serializer):
    email = fields.Flag()
    webhook = fields.Text(allow_null=True)
    pause = fields.Flag()


class DeliveryOut(serializers.Serializer):
    timeout_seconds = fields.Whole(required=False, help_text="this and the following: not where only a rate was set")
    outcome_deadline_seconds = fields.Whole(required=False)
    rate_per_minute = fields.Whole(required=False, help_text="only where it was set")


class AlertsOut(serializers.Serializer):
    consecutive_failures = fields.Whole()
    missed_window_multiplier = fields.Whole()
    grace_seconds = fields.Whole(required=False, help_text="only where it was set")


class VerificationOut(serializers.Serializer):
    mode = fields.Text()
    required_assertions = serializers.ListField(child=fields.Text(), allow_null=True)


class CueOut(serializers.Serializer):
    """A cue as the API shows it."""

    id = fields.Text()
    name = fields.Text()
    description = fields.Text(allow_null=True)
    status = serializers.ChoiceField(["active", "paused", "completed", "failed"])
    transport = serializers.ChoiceField(Transport.values)
    schedule = ScheduleOut()
    callback = CallbackOut()
    payload = fields.JsonObject()
    retry = RetryOut()
    next_run = fields.Instant(allow_null=True)
    last_run = fields.Instant(allow_null=True)
    run_count = fields.Whole()
    fired_count = fields.Whole()
    on_failure = OnFailureOut()
    delivery = DeliveryOut(allow_null=True)
    alerts = AlertsOut(allow_null=True)
    catch_up = serializers.ChoiceField(CatchUp.values)
    verification = VerificationOut(allow_null=True)
    on_success_fire = fields.Text(allow_null=True)
    require_payload_override = fields.Flag()
    required_payload_keys = serializers.ListField(child=fields.Text(), allow_null=True)
    warning = fields.Text(allow_null=True)
    created_at = fields.Instant()
    updated_at = fields.Instant()


class CueList(serializers.Serializer):
    cues = CueOut(many=True)
    total = fields.Whole()
    limit = fields.Whole()
    offset = fields.Whole()


class BulkDeleted(serializers.Serializer):
    deleted = serializers.ListField(child=fields.Text())
    skipped = serializers.ListField(child=fields.Text(), help_text="missing, foreign or repeated")


def render(cue: Cue, warning: str | None = None) -> dict[str, Any]:
    """The cue object of contract 3.1."""
    return {
        "id": cue.id,
        "name": cue.name,
        "description": cue.description,
        "status": cue.status,
        "transport": cue.transport,
        "schedule": _schedule(cue),
        "callback": {
            "url": cue.callback_url or None,
            "method": cue.callback_method,
            "headers": cue.callback_headers,
        },
        "payload": cue.payload,
        "retry": _retry(cue),
        "next_run": rfc3339(cue.next_run),
        "last_run": rfc3339(cue.last_run),
        "run_count": cue.run_count,
        "fired_count": cue.fired_count,
        "on_failure": {
            "email": cue.on_failure_email,
            "webhook": cue.on_failure_webhook,
            "pause": cue.on_failure_pause,
        },
        "delivery": _delivery(cue),
        "alerts": _alerts(cue),
        "catch_up": cue.catch_up,
        "verification": _verification(cue),
        "on_success_fire": cue.on_success_fire_id,
        "require_payload_override": cue.require_payload_override,
        "required_payload_keys": cue.required_payload_keys,
        "warning": warning,
        "created_at": rfc3339(cue.created_at),
        "updated_at": rfc3339(cue.updated_at),
    }


def _retry(cue: Cue) -> dict[str, Any]:
    """Without jitter it looks as the contract has it."""
    jitter = {"jitter": cue.retry_jitter} if cue.retry_jitter else {}
    return {"max_attempts": cue.max_attempts, "backoff_minutes": cue.backoff_minutes, **jitter}


def _schedule(cue: Cue) -> dict[str, Any]:
    if not cue.is_recurring:
        return {"type": "once", "at": rfc3339(cue.at), "timezone": cue.timezone}
    return {"type": "recurring", **_rhythm(cue), "timezone": cue.timezone, **_rules(cue)}


def _rules(cue: Cue) -> dict[str, Any]:
    """The bounds, limits and choices that were made: a schedule without any looks as it always did."""
    rules = {
        "starts_at": rfc3339(cue.starts_at),
        "ends_at": rfc3339(cue.ends_at),
        "max_runs": cue.max_runs,
        "jitter_seconds": cue.jitter_s or None,
        "dst": cue.dst if cue.dst != Dst.DEFAULT else None,
        "overlap": cue.overlap if cue.overlap != Overlap.ALLOW else None,
    }
    return {name: value for name, value in rules.items() if value is not None}


def _rhythm(cue: Cue) -> dict[str, Any]:
    if cue.every_s is None:
        return {"cron": cue.cron}
    return {"every": spell_every(cue.every_s), "anchor": rfc3339(cue.anchor)}


def _delivery(cue: Cue) -> dict[str, Any] | None:
    rate = {} if cue.rate_per_minute is None else {"rate_per_minute": cue.rate_per_minute}
    if not cue.is_two_phase:
        return rate or None
    return {
        "timeout_seconds": cue.delivery_timeout_s or DEFAULT_TIMEOUT_S,
        "outcome_deadline_seconds": cue.outcome_deadline_s or DEFAULT_OUTCOME_DEADLINE_S,
        **rate,
    }


def _alerts(cue: Cue) -> dict[str, Any] | None:
    if cue.alert_consecutive_failures is None:
        return None
    return {
        "consecutive_failures": cue.alert_consecutive_failures,
        "missed_window_multiplier": cue.alert_missed_window_multiplier,
        **({} if cue.alert_grace_s is None else {"grace_seconds": cue.alert_grace_s}),
    }


def _verification(cue: Cue) -> dict[str, Any] | None:
    if cue.verification_mode is None:
        return None
    return {"mode": cue.verification_mode, "required_assertions": cue.required_assertions}
