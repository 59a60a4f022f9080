"""Doors for pulling workers: what waits, claims, heartbeats of executions (contract 5.2 to 5.6)."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from cueapi import clock, idempotency, wakeups
from cueapi.api import ApiView, account_of, checked, header_text
from cueapi.errors import ValidationFailed
from cueapi.ids import parse_execution_id
from cueapi.models import Account
from cueapi.openapi import leads_to, refuses
from executions import claims, report_links
from executions.authentication import ReportLinkAuthentication
from executions.claims import ClaimFailed
from executions.models import Execution
from executions.outcomes import ExecutionNotFound
from executions.serializers import workers as shapes

WAIT = {"type": "number", "minimum": 0, "maximum": shapes.WAIT_MAX_S}

T = TypeVar("T")


class ClaimableView(ApiView):
    @refuses("422 validation_error")
    @extend_schema(
        operation_id="list_claimable",
        parameters=[
            OpenApiParameter("task", str, description="only those whose payload.task is this"),
            OpenApiParameter("agent", str, description="only those whose payload.agent is this"),
            OpenApiParameter("wait", WAIT, description="seconds to wait for work"),
        ],
        responses={200: shapes.ClaimableList},
        summary="What waits for a worker, oldest first, 50 at most",
    )
    def get(self, request: Request) -> Response:
        account, query = account_of(request), request.query_params

        def look() -> list[Execution] | None:
            found = claims.claimable(account, task=query.get("task"), agent=query.get("agent"), now=clock.now())
            return found or None

        found = _waiting_for(account, look, wait_s=_wait_in_query(request)) or []
        return Response({"executions": [shapes.render_claimable(execution) for execution in found]})


class ClaimNextView(ApiView):
    waits = True

    @refuses("409 claim_failed")
    @leads_to("heartbeat_execution", "report_outcome", execution_id="execution_id")
    @extend_schema(
        operation_id="claim_next",
        request=shapes.ClaimNextIn,
        responses={200: shapes.Claimed},
        summary="Claim the oldest execution that waits",
    )
    def post(self, request: Request) -> Response:
        account, data = account_of(request), checked(shapes.ClaimNextIn(data=request.data))
        key = idempotency.key_of(request)
        wanted = {"task": data.get("task"), "agent": data.get("agent")}
        refusal = ClaimFailed()

        def claim() -> Response:
            return _claimed(claims.claim_next(account, data["worker_id"], **wanted, now=clock.now()))

        def look() -> Response | None:
            nonlocal refusal
            try:
                return idempotency.once(request, account, key, claim, now=clock.now()) if key else claim()
            except ClaimFailed as error:
                refusal = error
                return None

        response = _waiting_for(account, look, wait_s=data.get("wait") or 0)
        if response is None:
            raise refusal
        return response


class ClaimView(ApiView):
    @refuses("409 claim_failed")
    @leads_to("heartbeat_execution", "report_outcome", execution_id="execution_id")
    @extend_schema(
        operation_id="claim_execution",
        request=shapes.ClaimIn,
        responses={200: shapes.Claimed},
        summary="Claim this execution",
    )
    def post(self, request: Request, execution_id: str) -> Response:
        data = checked(shapes.ClaimIn(data=request.data))
        wanted = parse_execution_id(execution_id)
        return _claimed(claims.claim(account_of(request), wanted, data["worker_id"], now=clock.now()))


class HeartbeatView(ApiView):
    """The holder of the execution's heartbeat link may call too."""

    authentication_classes = (ReportLinkAuthentication, *ApiView.authentication_classes)
    link_purpose = report_links.HEARTBEAT

    @refuses("401 invalid_token", "403 not_execution_owner", "404 execution_not_found", "409 execution_not_claiming")
    @extend_schema(
        operation_id="heartbeat_execution",
        request=None,
        parameters=[OpenApiParameter("X-Worker-Id", str, OpenApiParameter.HEADER)],
        responses={200: shapes.HeartbeatNoted},
        summary="The work goes on: extend its lease, or its outcome deadline",
    )
    def post(self, request: Request, execution_id: str) -> Response:
        wanted = parse_execution_id(execution_id)
        if wanted is None:
            raise ExecutionNotFound()
        worker_id = header_text(request, "X-Worker-Id")
        until = claims.heartbeat(account_of(request), wanted, worker_id, now=clock.now())
        return Response(
            {"execution_id": str(wanted), "lease_extended_until": clock.rfc3339(until), "acknowledged": True}
        )


def _claimed(execution: Execution) -> Response:
    links = report_links.links_of(execution.pk, now=clock.now())
    lease_seconds = round(claims.lease().total_seconds())
    return Response(shapes.render_claimed(execution, links, lease_seconds=lease_seconds))


def _waiting_for(account: Account, look: Callable[[], T | None], *, wait_s: float) -> T | None:
    """What `look` finds, now or within `wait_s` seconds."""
    if not wait_s:
        return look()
    return wakeups.wait_for(account.pk, look, wait_s=wait_s, next_s=partial(_next_due_s, account))


def _next_due_s(account: Account) -> float | None:
    now = clock.now()
    due_at = claims.next_due(account, now=now)
    return None if due_at is None else (due_at - now).total_seconds()


def _wait_in_query(request: Request) -> float:
    try:
        wait_s = float(request.query_params.get("wait", "0"))
    except ValueError:
        wait_s = -1
    if not 0 <= wait_s <= shapes.WAIT_MAX_S:
        raise ValidationFailed.of("query.wait", "must be a number of seconds, 0 or more, such as 20")
    return wait_s
