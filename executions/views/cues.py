"""Doors: the paths of a cue that need executions (contract 3.5 and 3.6)."""

from typing import Any
from zoneinfo import ZoneInfo

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from cueapi import clock, tracing
from cueapi.api import ApiView, account_of, checked
from cueapi.openapi import leads_to, page_parameters, refuses
from cueapi.pagination import page
from cues import services
from cues import views as cue_views
from cues.models import Cue, Transport
from cues.serializers import answers
from cues.views import CueView
from cues.zones import instant_in
from executions import firing, statistics, workers
from executions.firing import ManualFire
from executions.models import Execution
from executions.serializers import executions as shapes

DETAIL_LIMIT = 10
UTC = ZoneInfo("UTC")


class CueListView(cue_views.CueListView):
    """The list and the create call, with a word on workers."""

    def advice(self, cue: Cue) -> str | None:
        if cue.transport != Transport.WORKER or workers.is_alive(cue.account_id, None, now=clock.now()):
            return None
        return "No active workers: the work waits until one asks for it."


class CueDetailView(CueView):
    @refuses("404 cue_not_found", "422 validation_error")
    @extend_schema(
        operation_id="get_cue",
        parameters=page_parameters("execution_limit", "execution_offset"),
        responses={200: shapes.CueDetail},
        summary="A cue and its latest executions",
    )
    def get(self, request: Request, cue_id: str) -> Response:
        cue = services.find(account_of(request), cue_id)
        wanted = page(request, default=DETAIL_LIMIT, limit="execution_limit", offset="execution_offset")
        runs = Execution.objects.filter(cue=cue)
        return Response(
            {
                **answers.render(cue),
                "stats": shapes.render_stats(statistics.of_cue(cue, now=clock.now())),
                "executions": [shapes.render(run) for run in wanted.of(runs.newest_first())],
                "execution_total": runs.count(),
                "execution_limit": wanted.limit,
                "execution_offset": wanted.offset,
            }
        )


class FireView(ApiView):
    echoed_with = "payload_override"

    @refuses("400 payload_override_required missing_required_payload_keys invalid_payload_size", "404 cue_not_found")
    @leads_to(
        "get_execution",
        "claim_execution",
        "heartbeat_execution",
        "report_outcome",
        "add_evidence",
        "verify_outcome",
        "await_verification",
        "replay_execution",
        execution_id="execution_id",
    )
    @extend_schema(
        operation_id="fire_cue",
        request=shapes.FireIn,
        responses={200: shapes.FireOut},
        summary="Fire a cue now, or at send_at, beside its schedule",
    )
    def post(self, request: Request, cue_id: str) -> Response:
        cue = services.find(account_of(request), cue_id)
        data = checked(shapes.FireIn(data=request.data))
        order = _order(data, dict(request.data), traceparent=tracing.read(request.headers.get(tracing.HEADER)))
        firing.take_turn(cue.account_id, now=clock.now())
        execution = firing.fire(cue, order, now=clock.now())
        return Response(shapes.render_fire(execution))


def _order(data: dict[str, Any], body: dict[str, Any], *, traceparent: str | None) -> ManualFire:
    return ManualFire(
        payload_override=data.get("payload_override"),
        merge_strategy=data.get("merge_strategy") or "merge",
        send_at=instant_in(data["send_at"], UTC, where="body.send_at") if data.get("send_at") else None,
        exit_criteria=data.get("exit_criteria"),
        idempotency_key=data.get("idempotency_key"),
        traceparent=traceparent,
        body=body,
    )
