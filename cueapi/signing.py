"""Webhook signatures: ours (contract 6.3) and, beside it, that of Standard Webhooks, over the exact bytes sent.

Ours is HMAC-SHA256 over `<timestamp>.<body>` with the secret as text. Standard Webhooks
(https://www.standardwebhooks.com) signs `<id>.<timestamp>.<body>` with the secret's base64 part as the key; the hex
digits after `whsec_` are valid base64, so one secret serves both.
"""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Secrets:
    """What signs a message: the current secret and, while an overlap lasts, the one before it."""

    current: str = field(repr=False)
    previous: str = field(default="", repr=False)


def canonical_json(value: Any) -> bytes:
    """The one byte form that is sent and signed: sorted keys, `", "` and `": "`, ASCII only."""
    return json.dumps(value, sort_keys=True).encode("ascii")


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """`v1=` and the hex HMAC. `secret` is used as UTF-8 text, prefix included; `timestamp` is Unix seconds."""
    message = timestamp.encode() + b"." + body
    return "v1=" + hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def standard_signature(secret: str, message_id: str, timestamp: str, body: bytes) -> str:
    """`v1,` and the base64 HMAC of Standard Webhooks."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    message = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, message, hashlib.sha256).digest()).decode()


def signature_headers(secrets: Secrets, message_id: str, body: bytes, *, now: datetime) -> dict[str, str]:
    """Every header that vouches for one message. `message_id` stays the same when the message is sent again."""
    timestamp = str(int(now.timestamp()))
    both = [secret for secret in (secrets.current, secrets.previous) if secret]
    headers = {
        "X-CueAPI-Signature": signature(secrets.current, timestamp, body),
        "X-CueAPI-Timestamp": timestamp,
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(standard_signature(secret, message_id, timestamp, body) for secret in both),
    }
    if secrets.previous:
        headers["X-CueAPI-Signature-Previous"] = signature(secrets.previous, timestamp, body)
    return headers
