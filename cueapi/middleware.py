"""What wraps every request: its id, the limit on its body, and the headers that keep pages safe."""

import io
import uuid
from collections.abc import Callable

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse

from cueapi import throttling, tracing, trail
from cueapi.errors import BadRequest, RequestTooLarge
from cueapi.ids import parse_uuid
from cueapi.logging import about, request_id
from cueapi.models import Account, ActorKind
from cueapi.problems import respond

BODY_MAX_BYTES = 1_048_576
ADMIN = "/admin"
WITHOUT_PASSWORD = "signed_in_without_password"  # noqa: S105  a mark in the session, set by cueapi.sign_in

GetResponse = Callable[[HttpRequest], HttpResponse]

# No page runs an inline script, and none of our own has an inline style. Each relaxation has its reason:
# style 'unsafe-inline': Swagger UI and the admin's theme set style attributes, and the theme its colours in a <style>;
# img data: Swagger UI and the theme draw small icons from their style sheets;
# script 'unsafe-eval' (admin only): the theme's Alpine.js evaluates the expressions in its templates' attributes.
PAGE_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
DOCS_POLICY = f"{PAGE_POLICY}; style-src 'self' 'unsafe-inline'"
ADMIN_POLICY = f"{DOCS_POLICY}; script-src 'self' 'unsafe-eval'"


class RequestIdMiddleware:
    """Gives each request an id, in the log and in X-Request-Id; a valid UUID that comes in is kept."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        sent = parse_uuid(request.headers.get("X-Request-Id", ""))
        token = request_id.set(str(sent or uuid.uuid4()))
        try:
            with (
                about(),
                trail.begin(throttling.client_address(request)),
            ):  # what the request turns out to be about is forgotten with it
                response = self._traced(request)
            response.headers["X-Request-Id"] = str(request_id.get())
            return response
        finally:
            request_id.reset(token)

    def _traced(self, request: HttpRequest) -> HttpResponse:
        parent = tracing.read(request.headers.get(tracing.HEADER))
        with tracing.span(f"{request.method}", parent, request_id=str(request_id.get())) as span:
            response = self.get_response(request)
            route = request.resolver_match.route if request.resolver_match else ""  # not the path: it may hold a token
            span.tell(http_route=route, http_response_status_code=response.status_code)
            return response


class BodyLimitMiddleware:
    """Answers 413 before a body is read when its length is declared, and while it is read when it is chunked."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        declared = request.META.get("CONTENT_LENGTH") or ""
        if declared and not declared.isdecimal():
            return respond(BadRequest("The Content-Length header is not a number."), request)
        if int(declared[:20] or 0) > BODY_MAX_BYTES or not self._chunks_fit(request, declared):
            return respond(RequestTooLarge(), request)
        return self.get_response(request)

    def _chunks_fit(self, request: HttpRequest, declared: str) -> bool:
        """Read a chunked body, which Django would take for an empty one. False when it is too large."""
        if declared or "chunked" not in request.headers.get("Transfer-Encoding", "").lower():
            return True
        source = request.META.get("wsgi.input") or request._stream
        body = source.read(BODY_MAX_BYTES + 1)
        request._stream = io.BytesIO(body)
        request.META["CONTENT_LENGTH"] = str(len(body))
        return len(body) <= BODY_MAX_BYTES


class ContentSecurityPolicyMiddleware:
    """Strict headers on pages, and on data that a browser might take for one."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", policy_of(request.path))
        return response


def policy_of(path: str) -> str:
    if path.startswith(ADMIN):
        return ADMIN_POLICY
    return DOCS_POLICY if path == "/docs" else PAGE_POLICY


class AdminAsksForPasswordMiddleware:
    """To the admin, who signed in with a link or a key is nobody yet; who else did is named in the audit trail."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith(ADMIN) and request.session.get(WITHOUT_PASSWORD):
            request.user = AnonymousUser()
        elif request.path.startswith(ADMIN) and isinstance(request.user, Account):
            trail.note(ActorKind.ADMIN, request.user.email)
        return self.get_response(request)
