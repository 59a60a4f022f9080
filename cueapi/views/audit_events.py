"""Doors: the audit trail of the caller's account."""

from datetime import UTC, datetime
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from cueapi import keyset, serializers
from cueapi.api import ApiView, account_of
from cueapi.clock import rfc3339
from cueapi.errors import NotFound, ValidationFailed
from cueapi.models import ActorKind, AuditAction, AuditEvent, SubjectType
from cueapi.openapi import leads_to, refuses
from cueapi.pagination import LIMIT_MAX, whole_number

DEFAULT_LIMIT = 50
ID_MAX_DIGITS = 18  # what a database integer can hold
CHOICES = {"action": AuditAction.values, "actor_kind": ActorKind.values, "subject_type": SubjectType.values}
BOUNDS = {"since": "at__gte", "until": "at__lt"}


class AuditEventsView(ApiView):
    @refuses("422 validation_error")
    @leads_to("get_audit_event", event_id="audit_events/0/id")
    @extend_schema(
        operation_id="list_audit_events",
        parameters=[
            *[OpenApiParameter(name, str, enum=words) for name, words in CHOICES.items()],
            OpenApiParameter("subject_id", str, description="of what was changed, also when it is gone"),
            OpenApiParameter("since", datetime, description="RFC 3339 with an offset; from then on"),
            OpenApiParameter("until", datetime, description="RFC 3339 with an offset; before then"),
            OpenApiParameter("limit", {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX}),
            OpenApiParameter("cursor", str, description="the next_cursor of the page before"),
        ],
        responses={200: serializers.AuditEventList},
        summary="Who changed what in your account, newest first",
    )
    def get(self, request: Request) -> Response:
        size = whole_number(request, "limit", default=DEFAULT_LIMIT, low=1, high=LIMIT_MAX)
        rows = AuditEvent.objects.of(account_of(request)).filter(**_filters(request))
        try:
            sheet = keyset.sheet(rows, by="at", position=request.query_params.get("cursor", ""), size=size)
        except keyset.Unreadable:
            raise ValidationFailed.of(
                "query.cursor", "must be the next_cursor of a page before. Leave it out to start with the newest"
            ) from None
        return Response({"audit_events": [render(event) for event in sheet.rows], "next_cursor": sheet.older})


class AuditEventView(ApiView):
    @extend_schema(
        operation_id="get_audit_event",
        responses={200: serializers.AuditEventAnswer},
        summary="One change: who, when, from where, before and after",
    )
    def get(self, request: Request, event_id: str) -> Response:
        is_id = event_id.isascii() and event_id.isdecimal() and len(event_id) <= ID_MAX_DIGITS
        found = AuditEvent.objects.of(account_of(request)).filter(pk=int(event_id)).first() if is_id else None
        if found is None:
            raise NotFound("No entry with that id. GET /v1/audit-events lists yours.")
        return Response(render(found))


def _filters(request: Request) -> dict[str, Any]:
    """The query's filters. Raises ValidationFailed."""
    query, filters = request.query_params, {}
    for name, words in CHOICES.items():
        if name in query:
            if query[name] not in words:
                raise ValidationFailed.of(f"query.{name}", f"must be one of: {', '.join(words)}")
            filters[name] = query[name]
    if "subject_id" in query:
        filters["subject_id"] = query["subject_id"].replace("\x00", "\ufffd")
    return filters | {column: _instant(query[name], name) for name, column in BOUNDS.items() if name in query}


def _instant(text: str, name: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is not None:
            return instant.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValidationFailed.of(f"query.{name}", "must be a time with an offset, such as 2031-05-04T09:00:00Z")


def render(event: AuditEvent) -> dict[str, Any]:
    return {
        "id": str(event.pk),
        "at": rfc3339(event.at),
        "action": event.action,
        "actor": {"kind": event.actor_kind, "name": event.actor or None, "address": event.address or None},
        "request_id": event.request_id or None,
        "subject": {"type": event.subject_type, "id": event.subject_id, "name": event.subject_name or None},
        "before": event.before,
        "after": event.after,
    }
