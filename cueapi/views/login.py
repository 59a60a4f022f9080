"""Doors: signing in with a device code, and sessions (contract 2.3 and 2.4)."""

from typing import Any
from urllib.parse import quote

from django.http import HttpResponse
from django.template.loader import render_to_string
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from cueapi import clock, device_login, serializers, sessions, throttling
from cueapi.api import ApiView, PublicView, account_of, checked
from cueapi.authentication import SessionAuthentication
from cueapi.conf import conf
from cueapi.device_login import LinkRefused
from cueapi.errors import NotFound
from cueapi.models import Account
from cueapi.openapi import BEARER, refuses
from cueapi.throttling import HOUR_S, WINDOW_S, Quota

STARTED = Quota("device-code", limit=5, window_s=HOUR_S)  # for one address
POLLED = Quota("device-poll", limit=30, window_s=WINDOW_S)  # for one code
MAILED_FROM = Quota("device-mail-from", limit=10, window_s=HOUR_S)  # for one address on the network
MAILED_TO = Quota("device-mail-to", limit=3, window_s=HOUR_S)  # for one e-mail address

HTML = (200, "text/html")
REFUSED = (400, "text/html")
PREFETCH_HEADERS = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")


@refuses("404 not_found")
class DeviceLoginDoor(PublicView):
    """A path of the device login, which an operator may switch off."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if conf().disable_device_code:
            raise NotFound("Signing in with a device code is switched off on this server. Ask its operator for a key.")


class DeviceCodeView(DeviceLoginDoor):
    @refuses("400 invalid_device_code", "409 device_code_exists")
    @extend_schema(
        operation_id="start_device_login",
        examples=[OpenApiExample("A code", {"device_code": "ABCD-1234"}, request_only=True)],
        request=serializers.DeviceCodeRequest,
        responses={201: serializers.DeviceCodeAnswer},
        summary="Begin to sign in a device with a code of its own making",
    )
    def post(self, request: Request) -> Response:
        now = clock.now()
        code = checked(serializers.DeviceCodeRequest(data=request.data))["device_code"]
        throttling.take(STARTED, throttling.client_address(request), now=now)
        device_login.start(code, now=now)
        url = f"{conf().base_url}/auth/device?code={quote(code, safe='')}"
        return Response({"verification_url": url, "expires_in": int(device_login.LIFETIME.total_seconds())}, status=201)


class DevicePollView(DeviceLoginDoor):
    @extend_schema(
        operation_id="poll_device_login",
        request=serializers.DeviceCodeRequest,
        responses={200: serializers.DevicePollAnswer},
        summary="How the login stands; once approved, the key",
    )
    def post(self, request: Request) -> Response:
        now = clock.now()
        code = checked(serializers.DeviceCodeRequest(data=request.data))["device_code"]
        throttling.take(POLLED, code[: device_login.CODE_CHARS[-1]], now=now)
        status, credentials = device_login.poll(code, now=now)
        if credentials is None:
            return Response({"status": status})
        return Response(
            {
                "status": status,
                "email": credentials.email,
                "api_key": credentials.api_key,
                "session_token": credentials.session_token,
            }
        )


class DeviceEmailView(DeviceLoginDoor):
    @refuses("400 device_code_expired invalid_status", "404 device_code_not_found")
    @extend_schema(
        operation_id="mail_device_login",
        request=serializers.DeviceEmailRequest,
        responses={200: serializers.DeviceEmailAnswer},
        summary="Have the sign-in link mailed",
    )
    def post(self, request: Request) -> Response:
        now = clock.now()
        data = checked(serializers.DeviceEmailRequest(data=request.data))
        throttling.take(MAILED_FROM, throttling.client_address(request), now=now)
        device_login.require_waiting(data["device_code"], now=now)  # or a stranger could use up an address' mails
        throttling.take(MAILED_TO, data["email"].lower(), now=now)
        device_login.send_link(data["device_code"], data["email"], now=now)
        return Response({"status": "email_sent"})


class DevicePageView(DeviceLoginDoor):
    """Where the browser goes first. It asks for the e-mail address; it never polls, as that is for the device."""

    rate_limited = False

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        code = request.query_params.get("code", "")
        known = device_login.is_code(code)
        return _page("device", 200 if known else 400, code=code if known else "")


class VerifyView(DeviceLoginDoor):
    """Where the mailed link leads: opening it approves the login."""

    rate_limited = False

    @extend_schema(
        operation_id="open_sign_in_link",
        parameters=[OpenApiParameter("token", str), OpenApiParameter("device_code", str)],
        responses={HTML: OpenApiTypes.STR, REFUSED: OpenApiTypes.STR},
        summary="The page of the mailed link",
    )
    def get(self, request: Request) -> HttpResponse:
        if conf().auth_verify_confirm or _is_prefetch(request):
            return self._ask(request)
        return self._approve(request)

    @extend_schema(
        operation_id="confirm_sign_in",
        request=None,
        parameters=[OpenApiParameter("token", str), OpenApiParameter("device_code", str)],
        responses={HTML: OpenApiTypes.STR, REFUSED: OpenApiTypes.STR},
        summary="The button on that page, where the server shows one",
    )
    def post(self, request: Request) -> HttpResponse:
        # No CSRF token: whoever can make a browser post this knows the link, and the link is all the proof there is.
        return self._approve(request)

    def head(self, request: Request) -> HttpResponse:
        """What mail scanners ask. It must not use up the link, as Django would have it by calling `get`."""
        return HttpResponse()

    def _ask(self, request: Request) -> HttpResponse:
        code, token = _link_in(request)
        try:
            login = device_login.check_link(code, token, now=clock.now())
        except LinkRefused as refusal:
            return _page("refused", 400, reason=str(refusal))
        return _page("confirm", 200, email=login.email, code=code)

    def _approve(self, request: Request) -> HttpResponse:
        code, token = _link_in(request)
        try:
            login = device_login.approve(code, token, now=clock.now())
        except LinkRefused as refusal:
            return _page("refused", 400, reason=str(refusal))
        return _page("approved", 200, email=login.email, code=code)


def _link_in(request: Request) -> tuple[str, str]:
    query = request.query_params
    return query.get("device_code", ""), query.get("token", "")


def _is_prefetch(request: Request) -> bool:
    """Whether a browser only loads the page in case somebody asks for it, as it must say."""
    return any("prefetch" in request.headers.get(name, "").lower() for name in PREFETCH_HEADERS)


def _page(name: str, status: int, **facts: str) -> HttpResponse:
    """One of the sign-in pages. Its address may hold a token, so nothing keeps it or passes it on."""
    headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return HttpResponse(render_to_string(f"cueapi/login/{name}.html", facts), status=status, headers=headers)


class SessionView(PublicView):
    @refuses("401 invalid_token", "503 session_unavailable")
    @extend_schema(
        operation_id="open_session",
        request=serializers.SessionRequest,
        responses={200: serializers.SessionAnswer},
        summary="Open a session with the token of a login",
    )
    def post(self, request: Request) -> Response:
        token = checked(serializers.SessionRequest(data=request.data))["token"]
        sessions.require_secret()  # before the token is used up
        return _session_of(device_login.redeem(token, now=clock.now()))


class SessionRefreshView(ApiView):
    authentication_classes = (SessionAuthentication,)

    @refuses("503 session_unavailable")
    @extend_schema(
        operation_id="refresh_session",
        request=None,
        responses={200: serializers.SessionAnswer},
        auth=BEARER,
        summary="A session token that lasts longer",
    )
    def post(self, request: Request) -> Response:
        return _session_of(account_of(request))


def _session_of(account: Account) -> Response:
    return Response({"session_token": sessions.token_for(account, now=clock.now()), "email": account.email})
