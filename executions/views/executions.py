"""Doors: executions, their list and their replay (contract 5.1 and 5.12)."""

from typing import Any

from django.db.models import Min
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from cueapi import clock
from cueapi.api import ApiView, account_of, checked
from cueapi.errors import BadRequest
from cueapi.ids import parse_execution_id
from cueapi.openapi import leads_to, page_parameters, refuses
from cueapi.pagination import flag, page
from executions import firing, outcomes
from executions.firing import ReplayOf
from executions.models import Execution
from executions.serializers import executions as shapes

LIST_LIMIT = 20
EQUALITY_FILTERS = {
    "cue_id": "cue",
    "status": "status",
    "outcome_state": "outcome_state",
    "worker_id": "claimed_by_worker",
    "triggered_by": "triggered_by",
    "result_type": "result_type",
}


class ExecutionListView(ApiView):
    @refuses("400 conflicting_filters invalid_status_in", "422 validation_error")
    @leads_to("get_execution", "report_outcome", "add_evidence", "replay_execution", execution_id="executions/0/id")
    @extend_schema(
        operation_id="list_executions",
        parameters=[
            *[OpenApiParameter(name, str) for name in EQUALITY_FILTERS],
            OpenApiParameter("status__in", str, description="comma list"),
            OpenApiParameter("has_evidence", bool, description="true: only those with an external_id"),
            *page_parameters(),
        ],
        responses={200: shapes.ExecutionList},
        summary="Your executions, newest first",
    )
    def get(self, request: Request) -> Response:
        wanted = page(request, default=LIST_LIMIT)
        found = _filtered(Execution.objects.of(account_of(request)), request)
        total = found.count()
        oldest = found.filter(claimed_at__isnull=False).aggregate(oldest=Min("claimed_at"))["oldest"]
        return Response(
            {
                "executions": [shapes.render(run) for run in wanted.of(found.newest_first())],
                "total": total,
                "limit": wanted.limit,
                "offset": wanted.offset,
                "has_more": wanted.offset + wanted.limit < total,
                "oldest_claimed_at": clock.rfc3339(oldest),
            }
        )


def _filtered(executions: Any, request: Request) -> Any:
    """The query's filters; what cannot match matches nothing."""
    query = request.query_params
    for name, column in EQUALITY_FILTERS.items():
        if name in query:
            executions = executions.filter(**{column: query[name].replace("\x00", "\ufffd")})
    if "status__in" in query:
        executions = executions.filter(status__in=_statuses(request))
    if flag(request, "has_evidence"):
        executions = executions.filter(external_id__gt="")
    return executions


def _statuses(request: Request) -> list[str]:
    if "status" in request.query_params:
        raise BadRequest("Use status or status__in, not both.", code="conflicting_filters")
    names = [name.strip() for name in request.query_params["status__in"].split(",")]
    wanted = [name.replace("\x00", "\ufffd") for name in names if name][:100]
    if not wanted:
        raise BadRequest("status__in is empty. Send names such as failed,missed.", code="invalid_status_in")
    return wanted


class ExecutionView(ApiView):
    @refuses("404 execution_not_found")
    @extend_schema(
        operation_id="get_execution",
        responses={200: shapes.ExecutionDetail},
        summary="One execution with its attempts and its history",
    )
    def get(self, request: Request, execution_id: str) -> Response:
        execution = outcomes.find(account_of(request), parse_execution_id(execution_id))
        return Response(shapes.render_detail(execution))


class ReplayView(ApiView):
    @refuses(
        "400 payload_override_required missing_required_payload_keys",
        "404 execution_not_found cue_not_found",
        "409 execution_in_flight",
    )
    @leads_to("get_execution", "report_outcome", execution_id="execution_id")
    @extend_schema(
        operation_id="replay_execution",
        request=shapes.ReplayIn,
        responses={200: shapes.ReplayOut},
        summary="Run an ended execution again, as it was sent, or as its cue is now",
    )
    def post(self, request: Request, execution_id: str) -> Response:
        original = outcomes.find(account_of(request), parse_execution_id(execution_id))
        definition = checked(shapes.ReplayIn(data=request.data)).get("definition") or ReplayOf.AS_SENT
        execution = firing.replay(original, definition=ReplayOf(definition), now=clock.now())
        return Response({**shapes.render_fire(execution), "replayed_from": str(original.pk)})
