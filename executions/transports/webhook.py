"""One delivery by webhook: the body, the headers and the signature that go out, and what to make of the reply.

Knows HTTP and contract 6.1 to 6.4, nothing of the database.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any
from uuid import UUID

from cueapi import outbound, tracing
from cueapi.signing import Secrets, canonical_json, signature_headers
from executions.retry import parse_retry_after
from executions.transports.reply import outcome_in, storable

FLATTEN_MAX_BYTES = 64 * 1024
RESERVED_KEYS = frozenset({"execution_id", "cue_id", "name", "scheduled_for", "attempt", "payload"})
BODY_KEPT_CHARS = 2000
NO_RETRY = "x-cueapi-no-retry"
HEADERS_KEPT = (
    "content-type",
    "content-length",
    "date",
    "location",
    "retry-after",
    "server",
    "via",
    "x-request-id",
    "traceparent",
    NO_RETRY,
)
HEADER_KEPT_CHARS = 500
OURS = frozenset({"webhook-id", "webhook-timestamp", "webhook-signature"})  # whatever the cue says of them


@dataclass(frozen=True)
class Delivery:
    """Everything one attempt needs, read when it starts, so that an edited cue or secret takes effect."""

    execution_id: UUID
    cue_id: str
    cue_name: str
    attempt: int
    scheduled_for: datetime
    payload: dict[str, Any]
    url: str
    method: str
    headers: dict[str, str] = field(repr=False)
    secrets: Secrets
    outcome_url: str = field(repr=False)
    heartbeat_url: str = field(repr=False)
    timeout_s: float
    flatten: bool
    payload_names_execution: bool  # contract 6.1: only for lenient one-shots
    heeds_no_retry: bool  # the receiver may say that it wants no more tries
    traceparent: str = ""  # the cue's own header of that name takes its place


@dataclass(frozen=True)
class Result:
    """How one attempt ended. `error_stage` is empty after a 2xx."""

    delivery: Delivery
    started_at: datetime
    duration_ms: int
    http_status: int | None = None
    error_stage: str = ""
    error_message: str = ""
    response_body: str = ""
    response_truncated: bool = False  # the body went on
    response_headers: dict[str, str] = field(default_factory=dict)
    retry_after: timedelta | None = None
    reported: dict[str, Any] | None = None  # an outcome in the reply, unchecked
    no_retry: str = ""  # that the receiver wants no more tries, and how it said so; empty: it did not

    @property
    def succeeded(self) -> bool:
        return not self.error_stage


def send(delivery: Delivery, *, now: datetime) -> Result:
    """Make the attempt. Never raises for anything that a receiver or the network can do."""
    request = build(delivery, now=now)
    try:
        reply = outbound.send(request)
    except outbound.SendError as error:
        return Result(delivery, now, error.duration_ms, error_stage=str(error.stage), error_message=error.message)
    return read_reply(delivery, reply, started_at=now)


def build(delivery: Delivery, *, now: datetime) -> outbound.OutboundRequest:
    """The signed request of this attempt."""
    body = b"" if delivery.method == "GET" else canonical_json(body_of(delivery))
    defaults = {"User-Agent": "CueAPI/1.0"} | ({} if delivery.method == "GET" else _CONTENT_TYPE)
    replaced = {name.lower() for name in delivery.headers}
    headers = {name: value for name, value in defaults.items() if name.lower() not in replaced}
    headers |= {name: value for name, value in delivery.headers.items() if name.lower() not in OURS}
    if delivery.traceparent and tracing.HEADER not in replaced:
        headers[tracing.HEADER] = delivery.traceparent
    headers |= signature_headers(delivery.secrets, str(delivery.execution_id), body, now=now)
    headers |= {
        "X-CueAPI-Cue-Id": delivery.cue_id,
        "X-CueAPI-Execution-Id": str(delivery.execution_id),
        "X-CueAPI-Scheduled-For": _offset(delivery.scheduled_for),
        "X-CueAPI-Attempt": str(delivery.attempt),
        "X-CueAPI-Outcome-Url": delivery.outcome_url,
        "X-CueAPI-Heartbeat-Url": delivery.heartbeat_url,
    }
    return outbound.OutboundRequest(delivery.method, delivery.url, headers, body, delivery.timeout_s)


_CONTENT_TYPE = {"Content-Type": "application/json"}


def body_of(delivery: Delivery) -> dict[str, Any]:
    """The envelope, with the payload's own keys beside it where they do not clash."""
    payload = delivery.payload
    nested = payload
    if delivery.payload_names_execution:
        nested = {"execution_id": str(delivery.execution_id)} | payload
    envelope = {
        "execution_id": str(delivery.execution_id),
        "cue_id": delivery.cue_id,
        "name": delivery.cue_name,
        "scheduled_for": _offset(delivery.scheduled_for),
        "attempt": delivery.attempt,
        "payload": nested,
    }
    if delivery.flatten and len(canonical_json(payload)) <= FLATTEN_MAX_BYTES:
        return payload | envelope
    return envelope


def read_reply(delivery: Delivery, reply: outbound.Reply, *, started_at: datetime) -> Result:
    text = storable(reply.body.decode("utf-8", "replace"))
    headers = {name.lower(): value for name, value in reply.headers.items()}
    ok = 200 <= reply.status <= 299
    no_retry = _no_retry(reply.status, headers) if delivery.heeds_no_retry and not ok else ""
    return Result(
        delivery,
        started_at,
        reply.duration_ms,
        http_status=reply.status,
        error_stage="" if ok else "status",
        error_message="" if ok else _complaint(reply.status, no_retry),
        response_body=text[:BODY_KEPT_CHARS],
        response_truncated=reply.truncated or len(text) > BODY_KEPT_CHARS,
        response_headers={
            name: storable(headers[name])[:HEADER_KEPT_CHARS] for name in HEADERS_KEPT if name in headers
        },
        retry_after=parse_retry_after(headers.get("retry-after"), reply.status, now=started_at),
        reported=outcome_in(reply.body) if ok and not reply.truncated else None,
        no_retry=no_retry,
    )


def _no_retry(status: int, headers: Mapping[str, str]) -> str:
    """How a failing reply says that another try is no use; empty when it does not."""
    if headers.get(NO_RETRY, "").strip().lower() in ("true", "1"):
        return f"the receiver asked for no more tries (X-CueAPI-No-Retry, with status {status})"
    return "the receiver asked for no more tries (410 Gone)" if status == HTTPStatus.GONE else ""


def _complaint(status: int, no_retry: str) -> str:
    if no_retry:
        return f"{no_retry[:1].upper()}{no_retry[1:]}."
    if 300 <= status <= 399:
        return f"The receiver answered {status}, a redirect; redirects are not followed. Use the final URL."
    return f"The receiver answered {status}."


def _offset(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat()
