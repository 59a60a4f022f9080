"""Doors: the ledger of a cue's windows, and why one of them did or did not run."""

from datetime import datetime
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from cueapi import clock
from cueapi.api import ApiView, account_of
from cueapi.errors import InvalidSchedule, InvalidTimezone, ValidationFailed
from cueapi.openapi import page_parameters, refuses
from cueapi.pagination import page
from cues import history, services
from cues.models import Cue, CueStatus, LedgerEntry, Verdict
from cues.zones import instant_in, zone
from executions import explain
from executions.models import Execution
from executions.serializers import ledger as shapes

LIST_LIMIT = 50
ANY_TIME = "RFC 3339; without an offset, in the cue's own zone"


class LedgerView(ApiView):
    @refuses("404 cue_not_found", "422 validation_error")
    @extend_schema(
        operation_id="list_ledger",
        parameters=[
            OpenApiParameter("verdict", str, enum=Verdict.values),
            OpenApiParameter("from", datetime, description=f"no windows before that; {ANY_TIME}"),
            OpenApiParameter("to", datetime, description=f"no windows after that; {ANY_TIME}"),
            *page_parameters(),
        ],
        responses={200: shapes.LedgerOut},
        summary="What became of each window of a cue, newest first",
    )
    def get(self, request: Request, cue_id: str) -> Response:
        cue = services.find(account_of(request), cue_id)
        wanted = page(request, default=LIST_LIMIT)
        found = LedgerEntry.objects.filter(cue=cue, **_filters(request, cue))
        entries = wanted.of(found.order_by("-first_at"))
        runs = Execution.objects.filter(pk__in=[entry.execution_id for entry in entries if entry.execution_id])
        statuses = dict(runs.values_list("pk", "status"))
        return Response(
            {
                "entries": [shapes.render_entry(entry, statuses) for entry in entries],
                "unsettled": _unsettled(cue),
                "total": found.count(),
                "limit": wanted.limit,
                "offset": wanted.offset,
            }
        )


class ExplainView(ApiView):
    @refuses("404 cue_not_found", "422 validation_error")
    @extend_schema(
        operation_id="explain_cue",
        parameters=[OpenApiParameter("at", datetime, required=True, description=ANY_TIME)],
        responses={200: shapes.ExplanationOut},
        summary="Why the cue did, or did not, run at a time",
    )
    def get(self, request: Request, cue_id: str) -> Response:
        cue = services.find(account_of(request), cue_id)
        at = _instant(request, "at", cue)
        if at is None:
            raise ValidationFailed.of("query.at", "is required: the time you ask about, such as 2031-05-04T09:00:00Z")
        return Response(shapes.render_explanation(explain.explain(cue, at, now=clock.now())))


def _filters(request: Request, cue: Cue) -> dict[str, Any]:
    """The query's filters. Raises ValidationFailed."""
    filters: dict[str, Any] = {}
    verdict = request.query_params.get("verdict")
    if verdict is not None:
        if verdict not in Verdict.values:
            raise ValidationFailed.of("query.verdict", f"must be one of: {', '.join(Verdict.values)}")
        filters["verdict"] = verdict
    for name, column in (("from", "first_at__gte"), ("to", "first_at__lte")):
        instant = _instant(request, name, cue)
        if instant is not None:
            filters[column] = instant
    return filters


def _instant(request: Request, name: str, cue: Cue) -> datetime | None:
    text = request.query_params.get(name)
    return None if text is None else instant_in(text, zone(cue.timezone), where=f"query.{name}")


def _unsettled(cue: Cue) -> dict[str, Any] | None:
    try:
        span = history.unsettled(cue, now=clock.now())
    except (InvalidSchedule, InvalidTimezone):
        return None
    return shapes.render_unsettled(span, "paused" if cue.status == CueStatus.PAUSED else "due")
