"""Webhook signatures (contract 6.3): HMAC-SHA256 over `<timestamp>.<exact body bytes>`."""

import hashlib
import hmac
import json
from typing import Any


def canonical_json(value: Any) -> bytes:
    """The one byte form that is sent and signed: sorted keys, `", "` and `": "`, ASCII only."""
    return json.dumps(value, sort_keys=True).encode("ascii")


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """`v1=` and the hex HMAC. `secret` is used as UTF-8 text, prefix included; `timestamp` is Unix seconds."""
    message = timestamp.encode() + b"." + body
    return "v1=" + hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()
