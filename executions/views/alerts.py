"""Doors: alerts, their list and their acknowledgement (contract 8.1)."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from cueapi import clock
from cueapi.api import ApiView, account_of
from cueapi.errors import BadRequest
from cueapi.ids import parse_uuid
from cueapi.openapi import leads_to, page_parameters, refuses
from cueapi.pagination import flag, page
from cues.zones import instant_in
from executions import alerts
from executions.models import Alert, AlertType
from executions.serializers import alerts as shapes

LIST_LIMIT = 20
UTC = ZoneInfo("UTC")
SYNONYMS = {"consecutive_failure": AlertType.CONSECUTIVE_FAILURES}


class AlertListView(ApiView):
    @refuses("400 invalid_filter", "422 validation_error")
    @leads_to("acknowledge_alert", alert_id="alerts/0/id")
    @extend_schema(
        operation_id="list_alerts",
        parameters=[
            OpenApiParameter("alert_type", str, enum=AlertType.values),
            OpenApiParameter("since", datetime, description="RFC 3339: no alerts from before that instant"),
            OpenApiParameter("cue_id", str),
            OpenApiParameter("acknowledged", bool),
            *page_parameters(),
        ],
        responses={200: shapes.AlertList},
        summary="Your alerts, newest first",
    )
    def get(self, request: Request) -> Response:
        wanted = page(request, default=LIST_LIMIT)
        found = Alert.objects.filter(account=account_of(request), **_filters(request))
        return Response(
            {
                "alerts": [shapes.render(alert) for alert in wanted.of(found.order_by("-created_at", "-id"))],
                "total": found.count(),
                "limit": wanted.limit,
                "offset": wanted.offset,
            }
        )


def _filters(request: Request) -> dict[str, Any]:
    """The query's filters. Raises BadRequest for an unknown type, ValidationFailed for what cannot be read."""
    query = request.query_params
    filters: dict[str, Any] = {}
    if "alert_type" in query:
        filters["alert_type"] = _alert_type(query["alert_type"])
    if "since" in query:
        filters["created_at__gte"] = instant_in(query["since"], UTC, where="query.since")
    if "cue_id" in query:
        filters["cue"] = query["cue_id"].replace("\x00", "\ufffd")
    acknowledged = flag(request, "acknowledged")
    if acknowledged is not None:
        filters["acknowledged_at__isnull"] = not acknowledged
    return filters


def _alert_type(name: str) -> str:
    name = SYNONYMS.get(name, name)
    if name not in AlertType.values:
        raise BadRequest(f"alert_type must be one of: {', '.join(AlertType.values)}.", code="invalid_filter")
    return name


class AcknowledgeView(ApiView):
    @refuses("404 alert_not_found")
    @extend_schema(
        operation_id="acknowledge_alert",
        request=None,
        responses={200: shapes.AlertOut},
        summary="Say that somebody saw the alert; it silences nothing",
    )
    def post(self, request: Request, alert_id: str) -> Response:
        alert = alerts.acknowledge(account_of(request), parse_uuid(alert_id), now=clock.now())
        return Response(shapes.render(alert))
