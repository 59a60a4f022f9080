"""Doors: what the service says of itself (contract 8.3)."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from cueapi import __version__, clock, liveness, serializers
from cueapi.api import UnlimitedView


class StatusView(UnlimitedView):
    @extend_schema(
        operation_id="status",
        responses={200: serializers.StatusAnswer, 503: serializers.StatusAnswer},
        summary="One word on how it goes",
    )
    def get(self, request: Request) -> Response:
        health = liveness.look(now=clock.now())
        if health.database != "ok":
            return Response({"status": "down", "reason": "postgres unreachable"}, status=503)
        if health.volatile != "ok":
            return Response({"status": "degraded", "reason": "redis unreachable"})
        if health.broker != "ok":
            return Response({"status": "degraded", "reason": "broker unreachable"})
        if health.beat != "ok":
            return Response({"status": "degraded", "reason": "poller stale"})
        return Response({"status": "healthy"})


class InfoView(UnlimitedView):
    @extend_schema(operation_id="info", responses={200: serializers.InfoAnswer}, summary="What this server is")
    def get(self, request: Request) -> Response:
        return Response(
            {
                "version": __version__,
                "authorization_backend": "api_key",
                "authentication_paths": {
                    "per_user_api_key": True,
                    "internal_token_with_on_behalf_of": False,
                },
                "disabled_primitives": [],
            }
        )
