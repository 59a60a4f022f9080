"""The echo-back check (contract 1.6): a caller that asks for it sees what this server made of its body.

A client compares the echo with what it sent, and so notices a proxy or a shell that changed it on the way.
"""

import hashlib
import json
from typing import Any

from django.http import HttpResponseBase
from rest_framework.request import Request

from cueapi.errors import ApiError
from cueapi.parsers import parse_value

HEADER = "X-CueAPI-Verify-Echo"
METHODS = frozenset({"POST", "PATCH", "PUT"})


def keep_body(request: Request) -> None:
    """Read the body while it can still be read twice: by the view's parser, and by `add`."""
    if _is_wanted(request):
        _ = request._request.body


def add(request: Request, response: HttpResponseBase, *, only_with: str | None = None) -> None:
    """Add the echo to a successful answer that is an object; null when the body lacks the field `only_with`."""
    answer = getattr(response, "data", None)
    if not (200 <= response.status_code <= 299 and isinstance(answer, dict) and _is_wanted(request)):
        return
    body = _as_json(request._request.body)
    if only_with is not None and not (isinstance(body, dict) and only_with in body):
        body = None
    response.data = {**answer, "body_received": body, "body_received_sha256": digest(body)}  # type: ignore[attr-defined]


def digest(body: Any) -> str:
    """Hex SHA-256 of the value as sorted, compact, unescaped JSON in UTF-8; of nothing at all for null."""
    text = "" if body is None else json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _is_wanted(request: Request) -> bool:
    return request.method in METHODS and request.headers.get(HEADER, "").strip().lower() == "true"


def _as_json(body: bytes) -> Any:
    """The body as JSON; as text where it is none, or holds what no answer could (a view may never have read it)."""
    try:
        return parse_value(body)
    except ApiError:
        return body.decode("utf-8", "replace").replace("\x00", "\ufffd")
