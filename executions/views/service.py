"""Doors: how each part of the service does (contract 8.3)."""

import hmac

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from prometheus_client import CONTENT_TYPE_LATEST
from rest_framework.request import Request
from rest_framework.response import Response

from cueapi import __version__, clock, liveness
from cueapi.api import UnlimitedView
from cueapi.conf import conf
from cueapi.errors import Unauthorized
from executions import health, metrics
from executions.serializers import service as shapes


class HealthView(UnlimitedView):
    @extend_schema(operation_id="health", responses={200: shapes.HealthOut}, summary="How each part does")
    def get(self, request: Request) -> Response:
        now = clock.now()
        seen = liveness.look(now=now)
        active, worker = health.workers(now=now) if seen.database == "ok" else (0, "unknown")
        cycle = seen.cycle
        return Response(
            {
                "status": "healthy" if seen.is_healthy else "degraded",
                "version": __version__,
                "timestamp": clock.rfc3339(now),
                "services": {
                    "postgres": seen.database,
                    "redis": seen.volatile,
                    "broker": seen.broker,
                    "poller": seen.beat,
                    "worker": worker,
                },
                "poller": {
                    "last_run": clock.rfc3339(cycle.ran_at) if cycle else None,
                    "seconds_ago": max(0, round(now.timestamp() - cycle.at)) if cycle else None,
                    "cues_last_cycle": cycle.cues if cycle else None,
                    "cycle_duration_ms": cycle.duration_ms if cycle else None,
                },
                "beats": [shapes.render_beat(beat) for beat in seen.beats],
                "workers": {"active_count": active},
                "queue": health.counters(now=now) if seen.database == "ok" else health.UNKNOWN,
            }
        )


class MetricsView(UnlimitedView):
    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        """For Prometheus. Tells what `/health` tells anyone; METRICS_TOKEN keeps it to those who know it."""
        token = conf().metrics_token
        given = request.headers.get("Authorization", "").encode()
        if token and not hmac.compare_digest(given, f"Bearer {token}".encode()):
            raise Unauthorized("Send METRICS_TOKEN as a bearer token.")
        return HttpResponse(metrics.text(now=clock.now()), content_type=CONTENT_TYPE_LATEST)
