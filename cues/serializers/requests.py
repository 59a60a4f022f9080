"""The shapes of what callers send about cues, nested or flat. Rules live in `cues.services`."""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from rest_framework import serializers

from cueapi import fields
from cueapi.fields import Optional
from cues.models import CatchUp, Dst, Overlap, Transport, VerificationMode

METHODS = ["POST", "PUT", "PATCH", "GET"]
HEADERS_MAX = 50
HEADERS_MAX_BYTES = 8 * 1024
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, token
HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")  # RFC 9110, field-value: what Latin-1 can carry
RESERVED_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection"})

UNKNOWN_SHOWN = 5
FLAT_SCHEDULE = ("cron", "at", "timezone")
FLAT = (*FLAT_SCHEDULE, "callback_url", "worker")
BULK_MAX = 100
URL = {"format": "uri"}  # for readers of the OpenAPI document, as every `style` here
INSTANT = {"format": "date-time"}


class ScheduleIn(Optional):
    type = fields.Text(help_text="recurring, once or one-time; inferred from cron or at")
    cron = fields.Text(
        allow_null=True, allow_blank=True, help_text="five fields, or a macro such as @daily", style={"format": "cron"}
    )
    at = fields.Text(
        allow_null=True, allow_blank=True, help_text="RFC 3339; null means now for one-time", style=INSTANT
    )
    timezone = fields.Text(allow_null=True, help_text="IANA name, UTC by default", style={"format": "timezone"})
    every = fields.Text(allow_null=True, allow_blank=True, help_text="an interval, 1m to 366d, such as 15m or 1h30m")
    anchor = fields.Text(
        allow_null=True,
        allow_blank=True,
        help_text="where `every` counts from; by default starts_at, else the time of this call",
        style=INSTANT,
    )
    starts_at = fields.Text(allow_null=True, allow_blank=True, help_text="nothing is due before this", style=INSTANT)
    ends_at = fields.Text(allow_null=True, allow_blank=True, help_text="nothing is due after this", style=INSTANT)
    max_runs = fields.Whole(
        allow_null=True, min_value=1, max_value=2_000_000_000, help_text="executions by the schedule, over its life"
    )
    jitter_seconds = fields.Whole(
        allow_null=True, min_value=0, max_value=86_400, help_text="each run is put off by up to this, its own way"
    )
    dst = fields.Choice(Dst.values, allow_null=True, help_text="for fixed hours when clocks change")
    overlap = fields.Choice(
        Overlap.values, allow_null=True, help_text="while an earlier execution of the cue has not ended"
    )


class HeaderMap(serializers.DictField):
    """Header names and values; too many are refused before any is looked at."""

    default_error_messages = fields.JsonObject.default_error_messages

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if isinstance(data, dict) and len(data) > HEADERS_MAX:
            raise serializers.ValidationError(f"at most {HEADERS_MAX} headers, not {len(data)}")
        values: dict[str, Any] = super().to_internal_value(data)
        return values


class CallbackIn(Optional):
    url = fields.Text(allow_null=True, allow_blank=True, trim_whitespace=False, style=URL)
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
    backoff_minutes = fields.Items(child=fields.Whole(min_value=0, max_value=1440), min_length=1, max_length=10)
    jitter = fields.Share(help_text="each wait is lengthened by up to this part of itself; 0 by default")


class OnFailureIn(Optional):
    email = fields.Flag()
    webhook = fields.Text(allow_null=True, allow_blank=True, trim_whitespace=False, style=URL)
    pause = fields.Flag()


class VerificationIn(Optional):
    mode = fields.Choice(VerificationMode.values)
    required_assertions = fields.Items(child=fields.Text(max_length=255), max_length=20, allow_null=True)


class DeliveryIn(Optional):
    timeout_seconds = fields.Whole(min_value=1, max_value=3600)
    outcome_deadline_seconds = fields.Whole(min_value=1, max_value=3600)
    rate_per_minute = fields.Whole(
        allow_null=True,
        min_value=1,
        max_value=60_000,
        help_text="attempts that may start, retries included; webhook cues only; named alone, it leaves the other two",
    )


class AlertsIn(Optional):
    consecutive_failures = fields.Whole(min_value=1, max_value=100)
    missed_window_multiplier = fields.Whole(min_value=1, max_value=10)
    grace_seconds = fields.Whole(
        allow_null=True,
        min_value=1,
        max_value=30 * 86_400,
        help_text="after a window, for its success; null for none of its own",
    )


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
    required_payload_keys = fields.Items(child=fields.Text(max_length=255), max_length=50, allow_null=True)


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


def unknown_fields(
    data: dict[str, Any], body: serializers.Serializer | None = None, *, known: tuple[str, ...] = FLAT
) -> str | None:
    """A sentence that names the fields of a call (create, if not said) that were ignored, each with the known one it
    resembles. Those in `known` are let pass at the top level."""
    unknown = list(_unknown(body or CueCreate(), data, known=known))
    if not unknown:
        return None
    hints = [f"{path} (did you mean {near}?)" if near else path for path, near in unknown[:UNKNOWN_SHOWN]]
    rest = f" and {len(unknown) - UNKNOWN_SHOWN} more" if len(unknown) > UNKNOWN_SHOWN else ""
    return f"Unknown fields were ignored: {', '.join(hints)}{rest}."


def _unknown(
    serializer: serializers.Serializer, data: Any, *, known: tuple[str, ...] = (), place: str = ""
) -> Iterator[tuple[str, str | None]]:
    """Each (path, nearest known path) that the serializer does not read, the parts of the body included."""
    names = [*serializer.fields, *known]
    for name in data if isinstance(data, dict) else ():
        field = serializer.fields.get(name)
        if isinstance(field, serializers.Serializer):
            yield from _unknown(field, data[name], place=f"{place}{name}.")
        elif name not in names:
            near = get_close_matches(name[:60].lower(), names, n=1)
            yield f"{place}{name[:60]}", f"{place}{near[0]}" if near else None


class BulkDelete(fields.Part):
    """The body of `POST /v1/cues/bulk-delete`."""

    ids = fields.Items(
        child=fields.Text(max_length=255), min_length=1, max_length=BULK_MAX, help_text="1 to 100 cue ids"
    )


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
