"""Doors: the places that webhooks go to, how they do, and the breaker by hand."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from cueapi import clock
from cueapi.api import ApiView, account_of, checked
from cueapi.openapi import leads_to, refuses
from executions import steering
from executions.serializers import destinations as shapes


class DestinationListView(ApiView):
    @leads_to("set_destination_rate", "open_destination", "close_destination", destination_id="destinations/0/id")
    @extend_schema(
        operation_id="list_destinations",
        responses={200: shapes.DestinationList},
        summary="Where your webhooks go, and how each destination does; those in trouble first",
    )
    def get(self, request: Request) -> Response:
        found = steering.sights(account_of(request), now=clock.now())
        return Response({"destinations": [shapes.render(one) for one in found], "total": len(found)})


class DestinationView(ApiView):
    @refuses("404 destination_not_found")
    @extend_schema(
        operation_id="set_destination_rate",
        request=shapes.DestinationIn,
        responses={200: shapes.DestinationOut},
        summary="Say how many attempts a minute may start to it; null is no limit",
    )
    def patch(self, request: Request, destination_id: str) -> Response:
        rate = checked(shapes.DestinationIn(data=request.data))["rate_per_minute"]
        account, now = account_of(request), clock.now()
        return Response(shapes.render(steering.set_rate(account, destination_id, rate, now=now)))


class OpenView(ApiView):
    @refuses("404 destination_not_found")
    @extend_schema(
        operation_id="open_destination",
        request=None,
        responses={200: shapes.DestinationOut},
        summary="Send nothing more to it until it is closed by hand; what is due waits",
    )
    def post(self, request: Request, destination_id: str) -> Response:
        return Response(shapes.render(steering.open_by_hand(account_of(request), destination_id, now=clock.now())))


class CloseView(ApiView):
    @refuses("404 destination_not_found")
    @extend_schema(
        operation_id="close_destination",
        request=None,
        responses={200: shapes.DestinationOut},
        summary="Send to it again, one request at a time first, and more with each answer",
    )
    def post(self, request: Request, destination_id: str) -> Response:
        return Response(shapes.render(steering.close_by_hand(account_of(request), destination_id, now=clock.now())))
