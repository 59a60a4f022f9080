"""What the generated OpenAPI document needs beyond the serializers: errors, and how to authenticate."""

from typing import Any, Literal

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema

from cueapi.serializers import ErrorAnswer

BEARER: Any = [{"apiKey": []}]
"""The `auth` of an operation that wants the bearer token, and whose view finds that out by a class of its own."""


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "cueapi.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        kinds = "An API key (cue_sk_ and 32 hex digits) or a session token."
        return {"type": "http", "scheme": "bearer", "description": kinds}


class ApiSchema(AutoSchema):
    """Adds the error envelope as the answer to everything that goes wrong."""

    def _get_response_bodies(self, direction: Literal["request", "response"] = "response") -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        error = self._get_response_for_code(ErrorAnswer, "default")  # type: ignore[no-untyped-call]
        return {
            **bodies,
            "default": {**error, "description": "An error. See `error.code` and `error.message`."},
        }

    def get_tags(self) -> list[str]:
        first = self.path.removeprefix("/v1").strip("/").partition("/")[0]
        return [{"auth": "account", "cues": "cues", "executions": "executions"}.get(first, "service")]
