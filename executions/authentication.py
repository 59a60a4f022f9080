"""Report links as credentials: `?token=…` in place of an API key, for one purpose on one execution."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from cueapi import clock
from cueapi.errors import Unauthorized
from cueapi.ids import parse_execution_id
from cueapi.models import Account
from executions import report_links
from executions.models import Execution
from executions.outcomes import ExecutionNotFound


@dataclass(frozen=True)
class ReportLink:
    """What a request that came by a link may act on: this execution."""

    execution_id: UUID

    @property
    def limiter_key(self) -> str:
        return f"link:{self.execution_id}"


class ReportLinkAuthentication(BaseAuthentication):
    """Lets a request in by its link, when it carries one and no Authorization header.

    The view says with `link_purpose` which kind of link it takes.
    """

    def authenticate(self, request: Request) -> tuple[Account, ReportLink] | None:
        token = request.query_params.get("token")
        if token is None or "Authorization" in request.headers:
            return None
        purpose = request.parser_context["view"].link_purpose
        execution_id = parse_execution_id(request.parser_context["kwargs"]["execution_id"])
        if execution_id is None or not report_links.is_valid(token, purpose, execution_id, now=clock.now()):
            raise Unauthorized(
                f"This {purpose} link is not valid for this execution, or its time is over. "
                "Use the URL exactly as it was delivered, or an API key.",
                code="invalid_token",
            )
        return _account_of(execution_id), ReportLink(execution_id)


def _account_of(execution_id: UUID) -> Account:
    execution: Execution | None = Execution.objects.select_related("account").filter(pk=execution_id).first()
    if execution is None:
        raise ExecutionNotFound()
    if not execution.account.is_active:
        raise Unauthorized()
    return execution.account


class ReportLinkScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = ReportLinkAuthentication
    name = "reportLink"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {
            "type": "apiKey",
            "in": "query",
            "name": "token",
            "description": "Part of the URLs in X-CueAPI-Outcome-Url and X-CueAPI-Heartbeat-Url of a delivery.",
        }
