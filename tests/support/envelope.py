"""The one shape of every error (contract 1.3), asked for in one place."""

import json
from typing import Any

from django_celery_beat.models import PeriodicTask

from cueapi.models import Account, ApiKey
from cues.models import Cue
from executions.models import Attempt, Execution


def refused(answer: Any, status: int, code: str, field: str | None = None) -> dict[str, Any]:
    """The `error` of an answer, once it is what the contract says; `field` must be among its details."""
    assert answer.status_code == status, f"{answer.status_code}: {answer.content!r}"
    error = in_envelope(answer)
    assert error["code"] == code, error
    if field is not None:
        named = [detail["field"] for detail in error["details"]]
        assert any(name == field or name.startswith(f"{field}.") for name in named), f"{field} not in {named}"
    return error


def in_envelope(answer: Any) -> dict[str, Any]:
    """The `error` of any answer from 400 on: the same three facts under `error` and under `detail.error`."""
    body = json.loads(answer.content)
    error: dict[str, Any] = body["error"]
    assert set(body) == {"error", "detail"}, body
    assert set(error) - {"details"} == {"code", "message", "status", "where", "expected", "example"}, error
    assert error["status"] == answer.status_code
    assert error["message"] and isinstance(error["message"], str)
    assert body["detail"] == {"error": {key: error[key] for key in ("code", "message", "status")}}
    return error


def rows() -> dict[str, int]:
    """How many rows there are of whatever a request can make."""
    return {model.__name__: model.objects.count() for model in (Account, ApiKey, Cue, Execution, Attempt, PeriodicTask)}
