"""Every error the API can answer: one base, one JSON shape (contract 1.3 and 1.4).

A subclass fixes the code and the HTTP status; the message says what was wrong and what to do next; `cueapi.lessons`
adds what was expected, and an example that would work.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from cueapi import lessons


@dataclass(frozen=True)
class Detail:
    """One field that failed its check. `field` starts with body., query., path. or header."""

    field: str
    message: str

    def as_body(self) -> dict[str, Any]:
        return {"field": self.field, "message": self.message, "example": lessons.example_for(self.field)}


class ApiError(Exception):
    """Something went wrong on our side."""

    status: ClassVar[int] = 500
    code: str = "internal_error"

    def __init__(
        self,
        message: str | None = None,
        *,
        code: str | None = None,
        details: list[Detail] | None = None,
        headers: Mapping[str, str] | None = None,
        where: str | None = None,
    ) -> None:
        """`where` is the place in the request, spelled as in `Detail`, when it is not the usual one of the code."""
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        if code:
            self.code = code
        self.details = details or []
        self.headers = dict(headers or {})
        self.where = self.details[0].field if self.details else where
        super().__init__(self.message)

    def as_body(self) -> dict[str, Any]:
        """The envelope: `error`, and its three facts again under `detail` for clients that look there."""
        facts = {"code": self.code, "message": self.message, "status": self.status}
        return {"error": {**facts, **self.lesson()}, "detail": {"error": facts}}

    def lesson(self) -> dict[str, Any]:
        """Where it went wrong, what was expected there, an example, and the fields one by one."""
        lesson = lessons.of(self.code)
        taught: dict[str, Any] = {
            "where": self.where or lesson.where,
            "expected": lesson.expected,
            "example": lessons.example_for(self.where) if self.where else lesson.example,
        }
        if self.details:
            taught["details"] = [item.as_body() for item in self.details]
        return taught


class DatabaseUnavailable(ApiError):
    """The database does not answer just now. Try again in a moment; with an Idempotency-Key a POST is done once."""

    status = 503
    code = "database_unavailable"


class BadRequest(ApiError):
    """The request cannot be carried out as sent."""

    status = 400
    code = "invalid_request"


class InvalidJson(BadRequest):
    """The body is not valid JSON."""

    code = "invalid_json"


class InvalidSchedule(BadRequest):
    """The schedule can never come due."""

    code = "invalid_schedule"


class InvalidCallbackUrl(BadRequest):
    """The callback URL is not allowed."""

    code = "invalid_callback_url"


class InvalidPayload(BadRequest):
    """The payload cannot be stored."""

    code = "invalid_payload"


class ConfirmationRequired(BadRequest):
    """This cannot be undone. Send the header X-Confirm-Destructive: true to confirm."""

    code = "confirmation_required"


class Unauthorized(ApiError):
    """No valid API key. Send the header Authorization: Bearer cue_sk_…"""

    status = 401
    code = "invalid_api_key"

    def __init__(self, message: str | None = None, *, code: str | None = None) -> None:
        super().__init__(message, code=code, headers={"WWW-Authenticate": 'Bearer realm="api"'})


class Forbidden(ApiError):
    """This is not allowed."""

    status = 403
    code = "forbidden"


class CueLimitExceeded(Forbidden):
    """The plan's limit of active and paused cues is reached."""

    code = "cue_limit_exceeded"


class NotFound(ApiError):
    """Nothing here. Check the path against /docs."""

    status = 404
    code = "not_found"


class MethodNotAllowed(ApiError):
    """This path does not answer that method."""

    status = 405
    code = "method_not_allowed"


class Conflict(ApiError):
    """The request conflicts with the present state."""

    status = 409
    code = "conflict"


class RequestTooLarge(ApiError):
    """The body is over 1 048 576 bytes. Send less, or store the data elsewhere and send its URL."""

    status = 413
    code = "request_too_large"


class ValidationFailed(ApiError):
    """Some fields are not valid."""

    status = 422
    code = "validation_error"

    @classmethod
    def of(cls, field: str, message: str) -> "ValidationFailed":
        """The error for one field; `field` as in `body.schedule.type`."""
        return cls(f"{field}: {message}", details=[Detail(field, message)])


class InvalidTimezone(ApiError):
    """The time zone is not an IANA name such as Europe/Paris or UTC."""

    status = 422
    code = "invalid_timezone"


class RateLimited(ApiError):
    """Too many requests. Wait the seconds given in Retry-After."""

    status = 429
    code = "rate_limit_exceeded"
