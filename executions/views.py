"""Doors: executions and outcomes (contract 5), the two paths of a cue that need executions, and `/health`."""

from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Min
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from cueapi import __version__, clock, liveness
from cueapi.api import ApiView, UnlimitedView, account_of
from cueapi.errors import BadRequest, InvalidSchedule, ValidationFailed
from cueapi.ids import parse_execution_id
from cueapi.pagination import page
from cueapi.views import checked
from cues import schedule, services
from cues import serializers as cue_serializers
from cues.views import PAGE_PARAMETERS, CueView
from executions import firing, health, outcomes, serializers
from executions.firing import ManualFire
from executions.models import Execution

LIST_LIMIT = 20
DETAIL_LIMIT = 10
EQUALITY_FILTERS = {
    "cue_id": "cue",
    "status": "status",
    "outcome_state": "outcome_state",
    "worker_id": "claimed_by_worker",
    "triggered_by": "triggered_by",
    "result_type": "result_type",
}


class CueDetailView(CueView):
    @extend_schema(
        operation_id="get_cue",
        parameters=[
            OpenApiParameter("execution_limit", int),
            OpenApiParameter("execution_offset", int),
        ],
        responses={200: serializers.CueDetail},
        summary="A cue and its latest executions",
    )
    def get(self, request: Request, cue_id: str) -> Response:
        cue = services.find(account_of(request), cue_id)
        wanted = page(request, default=DETAIL_LIMIT, limit="execution_limit", offset="execution_offset")
        runs = Execution.objects.filter(cue=cue)
        return Response(
            {
                **cue_serializers.render(cue),
                "executions": [serializers.render(run) for run in wanted.of(runs.newest_first())],
                "execution_total": runs.count(),
                "execution_limit": wanted.limit,
                "execution_offset": wanted.offset,
            }
        )


class FireView(ApiView):
    @extend_schema(
        operation_id="fire_cue",
        request=serializers.FireIn,
        responses={200: serializers.FireOut},
        summary="Fire a cue now, or at send_at, beside its schedule",
    )
    def post(self, request: Request, cue_id: str) -> Response:
        cue = services.find(account_of(request), cue_id)
        data = checked(serializers.FireIn(data=request.data))
        execution = firing.fire(cue, _order(data, dict(request.data)), now=clock.now())
        return Response(serializers.render_fire(execution))


def _order(data: dict[str, Any], body: dict[str, Any]) -> ManualFire:
    return ManualFire(
        payload_override=data.get("payload_override"),
        merge_strategy=data.get("merge_strategy") or "merge",
        send_at=_instant(data["send_at"]) if data.get("send_at") else None,
        exit_criteria=data.get("exit_criteria"),
        idempotency_key=data.get("idempotency_key"),
        body=body,
    )


def _instant(text: str) -> Any:
    try:
        return schedule.parse_at(text, ZoneInfo("UTC"))
    except InvalidSchedule:
        raise ValidationFailed.of("body.send_at", "must be a timestamp such as 2031-05-04T09:00:00Z") from None


class ExecutionListView(ApiView):
    @extend_schema(
        operation_id="list_executions",
        parameters=[
            *[OpenApiParameter(name, str) for name in EQUALITY_FILTERS],
            OpenApiParameter("status__in", str, description="comma list"),
            OpenApiParameter("has_evidence", bool),
            *PAGE_PARAMETERS,
        ],
        responses={200: serializers.ExecutionList},
        summary="Your executions, newest first",
    )
    def get(self, request: Request) -> Response:
        wanted = page(request, default=LIST_LIMIT)
        found = _filtered(Execution.objects.of(account_of(request)), request)
        total = found.count()
        oldest = found.filter(claimed_at__isnull=False).aggregate(oldest=Min("claimed_at"))["oldest"]
        return Response(
            {
                "executions": [serializers.render(run) for run in wanted.of(found.newest_first())],
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
    if query.get("has_evidence", "").lower() == "true":
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
    @extend_schema(
        operation_id="get_execution",
        responses={200: serializers.ExecutionDetail},
        summary="One execution with its attempts and its history",
    )
    def get(self, request: Request, execution_id: str) -> Response:
        execution = outcomes.find(account_of(request), parse_execution_id(execution_id))
        return Response(serializers.render_detail(execution))


class OutcomeView(ApiView):
    @extend_schema(
        operation_id="report_outcome",
        request=serializers.OutcomeIn,
        responses={200: serializers.OutcomeRecorded},
        summary="Report what came of the work, once",
    )
    def post(self, request: Request, execution_id: str) -> Response:
        execution = outcomes.find(account_of(request), parse_execution_id(execution_id))
        data = checked(serializers.OutcomeIn(data=request.data))
        execution = outcomes.report(account_of(request), execution.pk, data, now=clock.now())
        return Response(
            {
                "execution_id": str(execution.pk),
                "outcome_recorded": True,
                "outcome_state": execution.outcome_state,
                "reason": None,
            }
        )


class EvidenceView(ApiView):
    @extend_schema(
        operation_id="add_evidence",
        request=serializers.EvidenceIn,
        responses={200: serializers.EvidenceUpdated},
        summary="Add evidence to an outcome",
    )
    def patch(self, request: Request, execution_id: str) -> Response:
        execution = outcomes.find(account_of(request), parse_execution_id(execution_id))
        data = checked(serializers.EvidenceIn(data=request.data))
        execution = outcomes.add_evidence(account_of(request), execution.pk, data, now=clock.now())
        return Response(
            {
                "execution_id": str(execution.pk),
                "outcome_state": execution.outcome_state,
                "evidence_updated": True,
            }
        )


class VerifyView(ApiView):
    @extend_schema(
        operation_id="verify_outcome",
        request=serializers.VerifyIn,
        responses={200: serializers.Verified},
        summary="Accept or reject an outcome",
    )
    def post(self, request: Request, execution_id: str) -> Response:
        execution = outcomes.find(account_of(request), parse_execution_id(execution_id))
        data = checked(serializers.VerifyIn(data=request.data))
        valid, reason = data.get("valid", True), data.get("reason")
        execution = outcomes.verify(account_of(request), execution.pk, valid=valid, reason=reason, now=clock.now())
        return Response(
            {
                "execution_id": str(execution.pk),
                "outcome_state": execution.outcome_state,
                "valid": valid,
                "reason": reason,
            }
        )


class VerificationPendingView(ApiView):
    @extend_schema(
        operation_id="await_verification",
        request=None,
        responses={200: serializers.VerificationAwaited},
        summary="Put an outcome before a person",
    )
    def post(self, request: Request, execution_id: str) -> Response:
        execution = outcomes.find(account_of(request), parse_execution_id(execution_id))
        execution = outcomes.await_verification(account_of(request), execution.pk, now=clock.now())
        return Response({"execution_id": str(execution.pk), "outcome_state": execution.outcome_state})


class ReplayView(ApiView):
    @extend_schema(
        operation_id="replay_execution",
        request=None,
        responses={200: serializers.ReplayOut},
        summary="Run an ended execution again, as it was",
    )
    def post(self, request: Request, execution_id: str) -> Response:
        original = outcomes.find(account_of(request), parse_execution_id(execution_id))
        execution = firing.replay(original, now=clock.now())
        return Response({**serializers.render_fire(execution), "replayed_from": str(original.pk)})


class HealthView(UnlimitedView):
    @extend_schema(operation_id="health", responses={200: serializers.HealthOut}, summary="How each part does")
    def get(self, request: Request) -> Response:
        now = clock.now()
        seen = liveness.look(now=now)
        cycle = seen.cycle
        return Response(
            {
                "status": "healthy" if seen.is_healthy else "degraded",
                "version": __version__,
                "timestamp": clock.rfc3339(now),
                "services": {
                    "postgres": seen.database,
                    "redis": seen.volatile,
                    "poller": seen.beat,
                    "worker": "none",
                },
                "poller": {
                    "last_run": clock.rfc3339(cycle.ran_at) if cycle else None,
                    "seconds_ago": max(0, round(now.timestamp() - cycle.at)) if cycle else None,
                    "cues_last_cycle": cycle.cues if cycle else None,
                    "cycle_duration_ms": cycle.duration_ms if cycle else None,
                },
                "workers": {"active_count": 0},
                "queue": health.counters(now=now) if seen.database == "ok" else health.UNKNOWN,
            }
        )
