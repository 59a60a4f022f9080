"""An outcome inside a receiver's 2xx reply (contract 6.4): what of it can be stored.

The reply was written for nobody in particular, so what does not fit is left out rather than refused.
"""

import json
from typing import Any

from cueapi.parsers import problems

TEXT_MAX_CHARS = {"external_id": 500, "result_ref": 500, "result_type": 100, "summary": 500}
FREE_TEXT_MAX_CHARS = 2000
URL_MAX_CHARS = 2000
STRUCTURE_MAX_BYTES = 10_240


def outcome_in(body: bytes) -> dict[str, Any] | None:
    """The outcome, when the reply is an object with a boolean `success`; every field in it can be stored."""
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(reply, dict) or not isinstance(reply.get("success"), bool):
        return None
    outcome: dict[str, Any] = {"success": reply["success"]}
    for name in ("result", "error"):
        outcome[name] = _free_text(reply.get(name))
    for name, most in TEXT_MAX_CHARS.items():
        outcome[name] = _short_text(reply.get(name), most)
    outcome["result_url"] = _url(reply.get("result_url"))
    for name, kind in (("metadata", dict), ("artifacts", list), ("assertions", dict)):
        outcome[name] = _structure(reply.get(name), kind)
    return outcome


def storable(text: str) -> str:
    """Text that every database takes: no NUL, no half characters."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def _free_text(value: Any) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value)
    return storable(text[:FREE_TEXT_MAX_CHARS])


def _short_text(value: Any, most: int) -> str | None:
    return storable(value[:most]) if isinstance(value, str) else None


def _url(value: Any) -> str | None:
    is_url = isinstance(value, str) and value.startswith(("http://", "https://")) and len(value) <= URL_MAX_CHARS
    return storable(value) if is_url else None


def _structure(value: Any, kind: type) -> Any:
    """The value if it has the right kind, is small, and holds only what can be stored and shown again."""
    if not isinstance(value, kind) or any(True for _ in problems(value)):
        return None
    size = len(json.dumps(value, ensure_ascii=False).encode())
    return value if size <= STRUCTURE_MAX_BYTES else None
