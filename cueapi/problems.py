"""Turning every exception into the one error shape: for DRF, and for Django's own 400, 403, 404 and 500.

A client that prefers `application/problem+json` gets the same as RFC 9457.
"""

import logging
import re
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from itertools import islice
from typing import Any

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import URLPattern, URLResolver, get_resolver, is_valid_path
from django.views import defaults
from rest_framework import exceptions
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

from cueapi import errors, lessons
from cueapi.conf import conf
from cueapi.errors import ApiError, Detail
from cueapi.logging import request_id

log = logging.getLogger(__name__)

JSON = "application/json"
PROBLEM_JSON = "application/problem+json"
VARIES = {"Vary": "Accept"}  # only errors do; a success is JSON for everybody
ERRORS_PAGE = "/docs/errors"
DESCRIBED = "The API is described at /docs."
PATH_SHOWN_CHARS = 200
VALUE = re.compile(r"\{\w+\}|(?=.*\d).{7,}")  # a variable, or what looks like an id: long, with a digit
DETAILS_MAX = 20  # the first few teach; a body of nonsense must not come back multiplied


def exception_handler(exception: Exception, context: dict[str, Any]) -> Response:
    """DRF's hook: whatever a view raised, as the error envelope."""
    error = as_api_error(exception)
    if isinstance(error, errors.MethodNotAllowed):
        error = _method_not_allowed(context)
    if error is None:
        log.error("request.crashed", exc_info=exception)
        error = ApiError("Something went wrong on our side. Quote the X-Request-Id header when you report it.")
    request = context.get("request")
    if request is not None:  # it is where DRF looks; the view's own renderer may be for HTML
        request.accepted_renderer, request.accepted_media_type = JSONRenderer(), JSON
    body, media_type = represent(error, accept_of(request))
    return Response(body, status=error.status, headers=VARIES | error.headers, content_type=media_type)


def represent(error: ApiError, accept: str) -> tuple[dict[str, Any], str]:
    """The error's body and media type, as the Accept header prefers."""
    if not prefers_problem(accept):
        return error.as_body(), JSON
    problem = {
        "type": f"{conf().base_url}{ERRORS_PAGE}#{error.code}",
        "title": lessons.of(error.code).title,
        "status": error.status,
        "detail": error.message,
        "instance": f"urn:uuid:{request_id.get()}" if request_id.get() else None,
        "code": error.code,
        **error.lesson(),
    }
    return problem, PROBLEM_JSON


def prefers_problem(accept: str) -> bool:
    """Whether `accept` names problem+json, and nothing else that is JSON with a higher quality."""
    qualities = dict(_media_ranges(accept))
    others = [qualities[media] for media in (JSON, "application/*", "*/*") if media in qualities]
    return qualities.get(PROBLEM_JSON, 0) >= max([*others, 0.001])


def _media_ranges(accept: str) -> Iterator[tuple[str, float]]:
    for part in accept.split(","):
        media, *parameters = (word.strip().lower() for word in part.split(";"))
        weights = [word.removeprefix("q=") for word in parameters if word.startswith("q=")]
        try:
            yield media, float(weights[0]) if weights else 1.0
        except ValueError:
            yield media, 0.0


def accept_of(request: Any) -> str:
    return str(request.headers.get("Accept", "")) if request is not None else ""


def as_api_error(exception: Exception) -> ApiError | None:
    """The ApiError that `exception` stands for; None for a bug of ours."""
    if isinstance(exception, ApiError):
        return exception
    if isinstance(exception, exceptions.ValidationError):
        return validation_failed(exception.detail)
    if isinstance(exception, Http404 | exceptions.NotFound):
        return errors.NotFound()
    if isinstance(exception, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
        return errors.Unauthorized()
    if isinstance(exception, exceptions.MethodNotAllowed):
        return errors.MethodNotAllowed()
    if isinstance(exception, PermissionDenied | exceptions.PermissionDenied):
        return errors.Forbidden()
    if isinstance(exception, OperationalError | InterfaceError):  # it is down, restarts, or took too long
        log.error("request.database_failed", exc_info=exception)
        return errors.DatabaseUnavailable(headers={"Retry-After": "1"})
    if isinstance(exception, SuspiciousOperation):  # Django's own limits, such as that on query parameters
        return errors.BadRequest()
    return None


def validation_failed(detail: Any, root: str = "body") -> errors.ValidationFailed:
    """The 422 for a serializer's errors; the message names the first field."""
    details = list(islice(_flatten(detail, root), DETAILS_MAX))
    first = details[0]
    return errors.ValidationFailed(f"{first.field}: {first.message}", details=details)


def _flatten(detail: Any, path: str) -> Iterator[Detail]:
    if isinstance(detail, dict):
        for key, value in detail.items():
            yield from _flatten(value, f"{path}.{key}" if key != "" else path)
    elif isinstance(detail, list):
        for value in detail:
            yield from _flatten(value, path)
    else:
        yield Detail(path, str(detail))


def _method_not_allowed(context: dict[str, Any]) -> errors.MethodNotAllowed:
    view, request = context.get("view"), context.get("request")
    if view is None or request is None:
        return errors.MethodNotAllowed()
    allowed = ", ".join(method for method in view.allowed_methods if method not in ("HEAD", "OPTIONS"))
    return errors.MethodNotAllowed(f"This path does not answer {request.method}. It answers {allowed}.")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return respond(errors.BadRequest(), request)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return respond(errors.Forbidden(), request)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path.startswith("/admin"):
        return defaults.page_not_found(request, exception)
    return respond(errors.NotFound(f"Nothing answers at this path. {_advice(request.path)}"), request)


def server_error(request: HttpRequest) -> HttpResponse:
    return respond(
        ApiError("Something went wrong on our side. Quote the X-Request-Id header when you report it."), request
    )


def respond(error: ApiError, request: HttpRequest) -> JsonResponse:
    """The error as a response of Django's own."""
    body, media_type = represent(error, accept_of(request))
    return JsonResponse(body, status=error.status, headers=VARIES | error.headers, content_type=media_type)


def _advice(path: str) -> str:
    """What the caller may have meant."""
    if path.endswith("/") and is_valid_path(path.rstrip("/")):
        return f"Paths have no slash at their end: use {path.rstrip('/')[:PATH_SHOWN_CHARS]}"
    known = _known_paths()
    near = get_close_matches(_shape(path[:PATH_SHOWN_CHARS]), known, n=1, cutoff=0.75)
    return f"Did you mean {known[near[0]]}? " + DESCRIBED if near else DESCRIBED


def _shape(path: str) -> str:
    """The path with {} for each id and each variable, so that ids neither hide nor make a likeness."""
    return "/".join("{}" if VALUE.fullmatch(part) else part for part in path.split("/"))


@cache
def _known_paths() -> dict[str, str]:
    """Each path of the API, its variables in braces, by its shape."""
    return {_shape(path): path for path in sorted(_paths(get_resolver(), "/"))}


def _paths(resolver: URLResolver, prefix: str) -> Iterator[str]:
    for entry in resolver.url_patterns:
        path = prefix + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", str(entry.pattern))
        if isinstance(entry, URLPattern) and path.startswith(("/v1", "/health", "/status")):
            yield path
        elif isinstance(entry, URLResolver) and path.startswith("/v1"):
            yield from _paths(entry, path)
