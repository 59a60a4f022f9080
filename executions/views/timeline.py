"""Door: what happened to one execution, in order, and what is still to come."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from cueapi import clock
from cueapi.api import ApiView, account_of
from cueapi.ids import parse_execution_id
from cueapi.openapi import refuses
from executions import dossier, outcomes, timeline
from executions.serializers import timeline as shapes


class TimelineView(ApiView):
    @refuses("404 execution_not_found")
    @extend_schema(
        operation_id="get_timeline",
        responses={200: shapes.TimelineOut},
        summary="What happened to an execution, in order, and what is to come",
    )
    def get(self, request: Request, execution_id: str) -> Response:
        execution = outcomes.find(account_of(request), parse_execution_id(execution_id))
        now = clock.now()
        told = timeline.entries(dossier.read(execution, now=now), now=now)
        return Response(shapes.render_timeline(execution, told))
