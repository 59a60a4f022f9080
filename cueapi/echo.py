"""The echo store (contract 8.3, nos. 48 and 49): what was posted under a token, for five minutes.

A newcomer's first cue calls it, so that a delivery can be seen without a server of one's own. A token is long and made
up by whoever uses it: knowing it is the permission to read. Kept in the volatile store; the last write wins.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cueapi.clock import rfc3339
from cueapi.errors import ApiError, BadRequest
from cueapi.outbound import origin
from cueapi.volatile import Unavailable, store

TOKEN_MIN_CHARS = 16
TOKEN_MAX_CHARS = 255
BODY_MAX_BYTES = 1_000_000
KEPT_S = 300
HEADERS_KEPT = frozenset({"content-type", "user-agent"})
OUR_HEADERS = "x-cueapi-"


class PayloadTooLarge(ApiError):
    """The body is over 1 000 000 bytes, the most that an echo keeps. Send less."""

    status = 413
    code = "payload_too_large"


class EchoUnavailable(ApiError):
    """Echoes are kept in a store that does not answer just now. Try again in a moment."""

    status = 503
    code = "service_unavailable"


def check_token(token: str) -> None:
    """Raises BadRequest for a token that could be guessed."""
    if not TOKEN_MIN_CHARS <= len(token) <= TOKEN_MAX_CHARS:
        raise BadRequest(
            f"An echo token has {TOKEN_MIN_CHARS} to {TOKEN_MAX_CHARS} characters. Make up a longer, random one.",
            code="invalid_token",
        )


def keep(token: str, payload: Any, headers: Mapping[str, str], *, now: datetime) -> None:
    """Keep a JSON value and the telling ones among its headers. Raises EchoUnavailable."""
    echo = {"payload": payload, "headers": _kept(headers), "received_at": rfc3339(now)}
    try:
        store().set(_name(token), json.dumps(echo), ex=KEPT_S)
    except Unavailable as error:
        raise EchoUnavailable() from error


def look(token: str) -> dict[str, Any] | None:
    """What was kept: payload, headers, received_at; None when nothing came yet. Raises EchoUnavailable."""
    try:
        kept: Any = store().get(_name(token))
    except Unavailable as error:
        raise EchoUnavailable() from error
    return json.loads(kept) if kept else None


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that describe a delivery. The origin mark is for this server alone."""
    lowered = {name.lower(): value for name, value in headers.items()}
    lowered.pop(origin.HEADER.lower(), None)
    return {name: value for name, value in lowered.items() if name in HEADERS_KEPT or name.startswith(OUR_HEADERS)}


def _name(token: str) -> str:
    return f"echo:{hashlib.sha256(token.encode()).hexdigest()}"
