"""Doors: the workers themselves (contract 7)."""

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response

from cueapi import clock
from cueapi.api import ApiView, account_of, checked
from cueapi.openapi import leads_to, refuses
from executions import claims, workers
from executions.serializers import workers as shapes


class WorkerHeartbeatView(ApiView):
    @leads_to("delete_worker", worker_id="$request.body#/worker_id")
    @extend_schema(
        operation_id="heartbeat_worker",
        request=shapes.WorkerHeartbeatIn,
        responses={200: shapes.WorkerNoted},
        summary="This worker lives; the first time registers it",
    )
    def post(self, request: Request) -> Response:
        return _note(request)


@extend_schema_view(post=extend_schema(operation_id="heartbeat_worker_by_alias"))
class WorkerHeartbeatAlias(WorkerHeartbeatView):
    """Another spelling of the same call, for clients that use it."""


@extend_schema_view(post=extend_schema(operation_id="register_worker_by_alias"))
class WorkerRegisterAlias(WorkerHeartbeatView):
    """Another one."""


class WorkerListView(ApiView):
    @extend_schema(
        operation_id="list_workers",
        responses={200: shapes.WorkerList},
        summary="Your workers, the one heard of last first",
    )
    def get(self, request: Request) -> Response:
        now, found = clock.now(), workers.all_of(account_of(request))
        return Response({"workers": [shapes.render_worker(one, now=now) for one in found], "total": len(found)})

    @extend_schema(
        operation_id="register_worker",
        request=shapes.WorkerHeartbeatIn,
        responses={200: shapes.WorkerNoted},
        summary="The same as a heartbeat",
    )
    def post(self, request: Request) -> Response:
        return _note(request)


class WorkerView(ApiView):
    @refuses("404 worker_not_found")
    @extend_schema(
        operation_id="delete_worker",
        responses={204: None},
        summary="Forget a worker; what it had claimed can be claimed again",
    )
    def delete(self, request: Request, worker_id: str) -> Response:
        claims.forget_worker(account_of(request), worker_id, now=clock.now())
        return Response(status=204)


def _note(request: Request) -> Response:
    data, now = checked(shapes.WorkerHeartbeatIn(data=request.data)), clock.now()
    handlers = data.get("handlers", workers.KEEP_HANDLERS)
    workers.heartbeat(account_of(request), data["worker_id"], handlers=handlers, now=now)
    return Response({"acknowledged": True, "server_time": clock.rfc3339(now)})
