"""What the generated OpenAPI document needs beyond the serializers: every error, what leads where, how to authenticate.

A view says with `refuses` which errors are its own, and with `leads_to` which calls its answer makes possible;
`ApiSchema` adds the errors that a call of its kind may always meet.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter

from cueapi import idempotency, lessons
from cueapi.pagination import LIMIT_MAX, OFFSET_MAX
from cueapi.serializers import ErrorAnswer, ProblemAnswer

BEARER: Any = [{"apiKey": []}]
"""The `auth` of an operation that wants the bearer token, and whose view finds that out by a class of its own."""

JSON = "application/json"
PROBLEM_JSON = "application/problem+json"

OF_BODY = ("400 invalid_json invalid_payload", "413 request_too_large", "422 validation_error")
OF_PATH = ("404 not_found",)
OF_KEY = ("401 invalid_api_key key_rotated key_revoked invalid_session session_expired user_not_found",)
OF_RATE = ("429 rate_limit_exceeded",)
OF_ONCE = ("400 invalid_json invalid_payload", "409 idempotency_key_conflict", "422 validation_error")

WHOLE = {"type": "integer", "minimum": 0}
HEADERS_OF: dict[str, Any] = {
    "401": {"WWW-Authenticate": {"schema": {"type": "string"}, "required": True}},
    "429": {
        "Retry-After": {"schema": {"type": "integer", "minimum": 1}, "required": True, "description": "seconds"},
        "X-RateLimit-Limit": {"schema": WHOLE},
        "X-RateLimit-Remaining": {"schema": WHOLE},
        "X-RateLimit-Reset": {"schema": WHOLE, "description": "Unix seconds"},
    },
}

IDEMPOTENCY_KEY = {
    "in": "header",
    "name": idempotency.HEADER,
    "schema": {"type": "string", "pattern": "^[ -~]*[!-~][ -~]*$", "maxLength": idempotency.KEY_MAX_CHARS},
    "description": "Of your own making: the same call with the same key is carried out once within a day.",
}
CONFIRMATION = {
    "in": "header",
    "name": "X-Confirm-Destructive",
    "required": True,
    "schema": {"type": "string", "enum": ["true"]},
    "description": "Says that you mean it.",
}

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def refuses(*refusals: str) -> Callable[[Decorated], Decorated]:
    """Declare errors of a view's method, or of all methods of a view: `"409 duplicate_cue_name device_code_exists"`."""

    def declare(what: Decorated) -> Decorated:
        what.refusals = refusals  # type: ignore[attr-defined]
        return what

    return declare


def leads_to(*operations: str, **parameters: str) -> Callable[[Decorated], Decorated]:
    """Declare the calls that an answer makes possible: with `cue_id="id"`, the answer's `id` is their `cue_id`.

    A value that starts with $ is an expression as OpenAPI has it, such as `$request.path.token`.
    """

    def declare(what: Decorated) -> Decorated:
        taken = {
            name: value if value.startswith("$") else f"$response.body#/{value}" for name, value in parameters.items()
        }
        links = {name: {"operationId": name, "parameters": taken} for name in operations}
        what.links = getattr(what, "links", {}) | links  # type: ignore[attr-defined]
        return what

    return declare


def page_parameters(limit: str = "limit", offset: str = "offset") -> list[OpenApiParameter]:
    """What `cueapi.pagination.page` reads."""
    return [
        OpenApiParameter(limit, {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX}),
        OpenApiParameter(offset, {"type": "integer", "minimum": 0, "maximum": OFFSET_MAX}),
    ]


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "cueapi.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        kinds = "An API key (cue_sk_ and 32 hex digits) or a session token."
        return {"type": "http", "scheme": "bearer", "description": kinds}


class ApiSchema(AutoSchema):
    """Adds errors, links and the headers that a call may or must carry."""

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        operation: dict[str, Any] | None = super().get_operation(*args, **kwargs)
        if operation is None:
            return None
        refused = self._refusals(has_body="requestBody" in operation)
        headers: list[dict[str, Any]] = [CONFIRMATION] if "confirmation_required" in refused.get("400", ()) else []
        headers += [IDEMPOTENCY_KEY] if self._is_carried_out_once else []
        if headers:
            operation["parameters"] = [*headers, *operation.get("parameters", [])]
        links = getattr(self._handler, "links", {})
        if links:
            success = min(operation["responses"])
            operation["responses"][success]["links"] = links
        for status, codes in refused.items():
            content = operation["responses"].get(status, {}).get("content", {})
            operation["responses"][status] = self._error(status, codes, content)
        return operation

    def get_description(self) -> str:  # type: ignore[override]
        """None: a docstring speaks to those who read the source."""
        return ""

    def get_tags(self) -> list[str]:
        first = self.path.removeprefix("/v1").strip("/").partition("/")[0]
        tags = {
            "auth": "account",
            "usage": "account",
            "audit-events": "account",
            "worker": "workers",
            "dead-letters": "executions",
        }
        return [tags.get(first, first if first in ("cues", "executions", "workers", "alerts") else "service")]

    def map_parsers(self) -> list[Any]:
        """What clients should send; the parser takes JSON under any name (contract 1.1)."""
        return [JSON]

    def _map_serializer_field(self, field: Any, direction: Any, bypass_extensions: bool = False) -> Any:
        """With what the field's `style` adds, such as a format."""
        schema = super()._map_serializer_field(field, direction, bypass_extensions)  # type: ignore[no-untyped-call]
        return schema | field.style if schema and field.style else schema

    def _map_basic_serializer(self, serializer: Any, direction: Any) -> Any:
        """Described by its own docstring; that of a base class says nothing about it."""
        schema = super()._map_basic_serializer(serializer, direction)  # type: ignore[no-untyped-call]
        if not type(serializer).__dict__.get("__doc__"):
            schema.pop("description", None)
        return schema

    @property
    def _handler(self) -> Any:
        return getattr(self.view, self.method.lower())

    @property
    def _is_carried_out_once(self) -> bool:
        return self.method == "POST" and bool(self.get_auth())

    def _refusals(self, *, has_body: bool) -> dict[str, list[str]]:
        """Each status that this operation may refuse with, and its codes."""
        found: dict[str, list[str]] = {}
        for refusal in self._declared(has_body=has_body):
            status, *codes = refusal.split()
            known = found.setdefault(status, [])
            known += [code for code in codes if code not in known]
        return dict(sorted(found.items()))

    def _declared(self, *, has_body: bool) -> Iterator[str]:
        yield from getattr(self._handler, "refusals", ())
        yield from getattr(self.view, "refusals", ())
        yield from OF_BODY if has_body else ()
        yield from OF_PATH if "{" in self.path else ()
        yield from OF_KEY if self.get_auth() else ()
        yield from OF_RATE if getattr(self.view, "rate_limited", False) else ()
        yield from OF_ONCE if self._is_carried_out_once else ()

    def _error(self, status: str, codes: list[str], content: dict[str, Any]) -> dict[str, Any]:
        """The error envelope beside `content`, what else is answered with that status."""
        bodies = {JSON: ErrorAnswer, PROBLEM_JSON: ProblemAnswer}
        shapes = {media: {"schema": self.resolve_serializer(body, "response").ref} for media, body in bodies.items()}
        return {
            "description": ". ".join(f"`{code}`: {lessons.of(code).title}" for code in codes) + ".",
            "content": {**content, **shapes},
            **({"headers": HEADERS_OF[status]} if status in HEADERS_OF else {}),
            "x-codes": codes,
        }
