"""The shapes of cues: what comes in (nested or flat) and what goes out. Rules live in `cues.services`."""

import re
from typing import Any

from rest_framework import serializers

from cueapi import fields
from cueapi.clock import rfc3339
from cues.models import (
    DEFAULT_OUTCOME_DEADLINE_S,
    DEFAULT_TIMEOUT_S,
    CatchUp,
    Cue,
    Transport,
    VerificationMode,
)

METHODS = ["POST", "PUT", "PATCH", "GET"]
HEADERS_MAX = 50
HEADERS_MAX_BYTES = 8 * 1024
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, token
HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")  # RFC 9110, field-value: what Latin-1 can carry
RESERVED_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection"})

UNKNOWN_SHOWN = 5
FLAT_SCHEDULE = ("cron", "at", "timezone")


class Optional(serializers.Serializer):
    """A part of the body in which nothing is required."""

    def get_fields(self) -> dict[str, Any]:
        fields_ = super().get_fields()
        for field in fields_.values():
            field.required = False
        return fields_


class ScheduleIn(Optional):
    type = fields.Text(help_text="recurring, once or one-time; inferred from cron or at")
    cron = fields.Text(allow_null=True, allow_blank=True, help_text="five fields, or a macro such as @daily")
    at = fields.Text(allow_null=True, allow_blank=True, help_text="RFC 3339; null means now for one-time")
    timezone = fields.Text(allow_null=True, help_text="IANA name, UTC by default")


class HeaderMap(serializers.DictField):
    """Header names and values; too many are refused before any is looked at."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if isinstance(data, dict) and len(data) > HEADERS_MAX:
            raise serializers.ValidationError(f"at most {HEADERS_MAX} headers, not {len(data)}")
        values: dict[str, Any] = super().to_internal_value(data)
        return values


class CallbackIn(Optional):
    url = fields.Text(allow_null=True, allow_blank=True, trim_whitespace=False)
    method = fields.Text(allow_null=True)
    headers = HeaderMap(child=fields.Text(allow_blank=True, trim_whitespace=False), allow_null=True)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if isinstance(data, dict) and "transport" in data:
            raise serializers.ValidationError({"transport": "belongs at the top level of the body"})
        values: dict[str, Any] = super().to_internal_value(data)
        return values

    def validate_method(self, method: str | None) -> str | None:
        if method is not None and method.upper() not in METHODS:
            raise serializers.ValidationError(f"must be one of: {', '.join(METHODS)}")
        return method.upper() if method else method

    def validate_headers(self, headers: dict[str, str] | None) -> dict[str, str] | None:
        if headers is None:
            return None
        _check_headers(headers)
        return {name: value.strip(" \t") for name, value in headers.items()}  # RFC 9110 5.5


def _check_headers(headers: dict[str, str]) -> None:
    if sum(len(name) + len(value) for name, value in headers.items()) > HEADERS_MAX_BYTES:
        raise serializers.ValidationError(f"at most {HEADERS_MAX_BYTES} bytes of headers")
    for name, value in headers.items():
        if not HEADER_NAME.fullmatch(name):
            raise serializers.ValidationError({name[:60]: "is not a header name: letters, digits and hyphens"})
        if not HEADER_VALUE.fullmatch(value):
            raise serializers.ValidationError(
                {name: "must be one line of Latin-1 text, without line breaks or control characters"}
            )
        if name.lower() in RESERVED_HEADERS or name.lower().startswith("x-cueapi-"):
            raise serializers.ValidationError({name: "is set by the server and cannot be replaced"})


class RetryIn(Optional):
    max_attempts = fields.Whole(min_value=1, max_value=10, help_text="total attempts, the first included")
    backoff_minutes = serializers.ListField(
        child=fields.Whole(min_value=0, max_value=1440), min_length=1, max_length=10
    )


class OnFailureIn(Optional):
    email = fields.Flag()
    webhook = fields.Text(allow_null=True, allow_blank=True, trim_whitespace=False)
    pause = fields.Flag()


class VerificationIn(Optional):
    mode = fields.Choice(VerificationMode.values)
    required_assertions = serializers.ListField(child=fields.Text(max_length=255), max_length=20, allow_null=True)


class DeliveryIn(Optional):
    timeout_seconds = fields.Whole(min_value=1, max_value=3600)
    outcome_deadline_seconds = fields.Whole(min_value=1, max_value=3600)


class AlertsIn(Optional):
    consecutive_failures = fields.Whole(min_value=1, max_value=100)
    missed_window_multiplier = fields.Whole(min_value=1, max_value=10)


class CatchUpChoice(fields.Choice):
    """`replay_all` is a synonym that published clients send."""

    def to_internal_value(self, data: Any) -> str:
        return super().to_internal_value(CatchUp.REPLAY_ALL.value if data == "replay_all" else data)


class CueFields(Optional):
    """What create and patch have in common."""

    name = fields.Text(max_length=255)
    description = fields.Text(allow_null=True, allow_blank=True, trim_whitespace=False)
    schedule = ScheduleIn(allow_null=True)
    callback = CallbackIn(allow_null=True)
    payload = fields.JsonObject(allow_null=True)
    retry = RetryIn(allow_null=True)
    on_failure = OnFailureIn(allow_null=True)
    verification = VerificationIn(allow_null=True)
    delivery = DeliveryIn(allow_null=True)
    alerts = AlertsIn(allow_null=True)
    catch_up = CatchUpChoice(CatchUp.values, allow_null=True)
    on_success_fire = fields.Text(allow_null=True, allow_blank=True, max_length=64)
    require_payload_override = fields.Flag(allow_null=True)
    required_payload_keys = serializers.ListField(child=fields.Text(max_length=255), max_length=50, allow_null=True)


class CueCreate(CueFields):
    """The body of `POST /v1/cues`. The flat form (cron, at, timezone, callback_url, worker) is folded in."""

    transport = fields.Choice(Transport.values, allow_null=True)

    def get_fields(self) -> dict[str, Any]:
        fields_ = super().get_fields()
        fields_["name"].required = True
        return fields_

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        values: dict[str, Any] = super().to_internal_value(fold_flat_form(data))
        return values

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs["transport"] = attrs.get("transport") or Transport.WEBHOOK
        url = (attrs.get("callback") or {}).get("url")
        if attrs["transport"] == Transport.WEBHOOK and not url:
            raise serializers.ValidationError(
                {"callback": {"url": "is required for webhook transport, such as https://example.org/hook"}}
            )
        return attrs


def fold_flat_form(data: dict[str, Any]) -> dict[str, Any]:
    """Fold the flat keys into `schedule`, `callback` and `transport`; nested values win."""
    folded = dict(data)
    flat = {key: data[key] for key in FLAT_SCHEDULE if key in data}
    if flat and isinstance(data.get("schedule") or {}, dict):
        folded["schedule"] = flat | _given(data.get("schedule"))
    if "callback_url" in data and isinstance(data.get("callback") or {}, dict):
        folded["callback"] = {"url": data["callback_url"]} | _given(data.get("callback"))
    if data.get("worker") is True and data.get("transport") is None:
        folded["transport"] = Transport.WORKER.value
    return folded


def _given(part: dict[str, Any] | None) -> dict[str, Any]:
    return {key: value for key, value in (part or {}).items() if value is not None}


class CuePatch(CueFields):
    """The body of `PATCH /v1/cues/{id}`: what is there changes, and nothing unknown may be there."""

    name = fields.Text(max_length=255, allow_null=True)
    status = fields.Choice(["active", "paused"], allow_null=True)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        _refuse_unknown(self, data)
        values: dict[str, Any] = super().to_internal_value(data)
        return values


def _refuse_unknown(serializer: serializers.Serializer, data: Any, *, place: str = "") -> None:
    """A misspelt key must not pass for "unchanged", or put a whole part back to its defaults."""
    if not isinstance(data, dict):
        return
    unknown = sorted(set(data) - set(serializer.fields))[:UNKNOWN_SHOWN]
    if unknown:
        known = ", ".join(sorted(serializer.fields))
        names = [f"{place}{name[:60]}" for name in unknown]
        raise serializers.ValidationError(dict.fromkeys(names, f"cannot be changed; what can: {known}"))
    for name, field in serializer.fields.items():
        if isinstance(field, serializers.Serializer):
            _refuse_unknown(field, data.get(name), place=f"{place}{name}.")


# --- Answers ----------------------------------------------------------------------------------------------------


class ScheduleOut(serializers.Serializer):
    type = serializers.ChoiceField(["recurring", "once"])
    cron = fields.Text(required=False)
    at = fields.Instant(required=False)
    timezone = fields.Text()


class CallbackOut(serializers.Serializer):
    url = fields.Text(allow_null=True)
    method = fields.Text()
    headers = serializers.DictField(child=fields.Text())


class RetryOut(serializers.Serializer):
    max_attempts = fields.Whole()
    backoff_minutes = serializers.ListField(child=fields.Whole())


class OnFailureOut(serializers.Serializer):
    email = fields.Flag()
    webhook = fields.Text(allow_null=True)
    pause = fields.Flag()


class DeliveryOut(serializers.Serializer):
    timeout_seconds = fields.Whole()
    outcome_deadline_seconds = fields.Whole()


class AlertsOut(serializers.Serializer):
    consecutive_failures = fields.Whole()
    missed_window_multiplier = fields.Whole()


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
        "retry": {"max_attempts": cue.max_attempts, "backoff_minutes": cue.backoff_minutes},
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


def _schedule(cue: Cue) -> dict[str, Any]:
    if cue.is_recurring:
        return {"type": "recurring", "cron": cue.cron, "timezone": cue.timezone}
    return {"type": "once", "at": rfc3339(cue.at), "timezone": cue.timezone}


def _delivery(cue: Cue) -> dict[str, Any] | None:
    if not cue.is_two_phase:
        return None
    return {
        "timeout_seconds": cue.delivery_timeout_s or DEFAULT_TIMEOUT_S,
        "outcome_deadline_seconds": cue.outcome_deadline_s or DEFAULT_OUTCOME_DEADLINE_S,
    }


def _alerts(cue: Cue) -> dict[str, Any] | None:
    if cue.alert_consecutive_failures is None:
        return None
    return {
        "consecutive_failures": cue.alert_consecutive_failures,
        "missed_window_multiplier": cue.alert_missed_window_multiplier,
    }


def _verification(cue: Cue) -> dict[str, Any] | None:
    if cue.verification_mode is None:
        return None
    return {"mode": cue.verification_mode, "required_assertions": cue.required_assertions}
