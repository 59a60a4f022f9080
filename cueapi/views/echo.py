"""Doors: the echo, which keeps what is posted so that its owner can look at it (contract 8.3)."""

from typing import Any

from django.http import HttpRequest
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from cueapi import clock, echo, serializers, throttling
from cueapi.api import ApiView
from cueapi.authentication import ApiKeyAuthentication
from cueapi.openapi import BEARER, leads_to, refuses
from cueapi.outbound import origin
from cueapi.parsers import parse_value
from cueapi.throttling import HOUR_S, Quota

TOKEN = OpenApiParameter(
    "token",
    {"type": "string", "minLength": echo.TOKEN_MIN_CHARS, "maxLength": echo.TOKEN_MAX_CHARS},
    OpenApiParameter.PATH,
)
STORED = Quota("echo", limit=10, window_s=HOUR_S)  # for one address


class KeyToLook(ApiKeyAuthentication):
    """Anyone may store, since a delivery carries no key; looking needs one."""

    def authenticate(self, request: Request) -> Any:
        return None if request.method == "POST" else super().authenticate(request)


class EchoView(ApiView):
    authentication_classes = (KeyToLook,)
    permission_classes = ()
    sent: dict[str, str]  # the headers as they came; the base view takes every body for JSON and says so

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        self.sent = dict(request.headers)
        return super().initialize_request(request, *args, **kwargs)

    @refuses("400 invalid_token", "413 payload_too_large", "503 service_unavailable")
    @leads_to("look_at_echo", token="$request.path.token")  # noqa: S106
    @extend_schema(
        operation_id="store_echo",
        parameters=[TOKEN],
        request=OpenApiTypes.ANY,
        responses={200: serializers.EchoStoredAnswer},
        auth=[],
        summary="Keep a JSON body for five minutes",
    )
    def post(self, request: Request, token: str) -> Response:
        echo.check_token(token)
        body = request._request.body
        if len(body) > echo.BODY_MAX_BYTES:
            raise echo.PayloadTooLarge()
        payload, now = parse_value(body), clock.now()
        if not origin.is_genuine(request.headers.get(origin.HEADER, ""), request.path):
            throttling.take(STORED, throttling.client_address(request), now=now)
        echo.keep(token, payload, self.sent, now=now)
        return Response({"stored": True})

    @refuses("400 invalid_token", "503 service_unavailable")
    @extend_schema(
        operation_id="look_at_echo",
        parameters=[TOKEN],
        responses={200: serializers.EchoAnswer},
        auth=BEARER,
        summary="What was posted under a token, if it came",
    )
    def get(self, request: Request, token: str) -> Response:
        echo.check_token(token)
        kept = echo.look(token)
        return Response({"status": "delivered", **kept} if kept else {"status": "waiting"})
