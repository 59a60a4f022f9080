"""Turning every exception into the one error shape: for DRF, and for Django's own 400, 403, 404 and 500."""

import logging
from collections.abc import Iterator
from itertools import islice
from typing import Any

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from rest_framework import exceptions
from rest_framework.response import Response

from cueapi import errors
from cueapi.errors import ApiError, Detail

log = logging.getLogger(__name__)

DETAILS_MAX = 20  # the first few teach; a body of nonsense must not come back multiplied


def exception_handler(exception: Exception, context: dict[str, Any]) -> Response:
    """DRF's hook: whatever a view raised, as the error envelope."""
    error = as_api_error(exception)
    if error is None:
        log.error("request.crashed", exc_info=exception)
        error = ApiError("Something went wrong on our side. Quote the X-Request-Id header when you report it.")
    return Response(error.as_body(), status=error.status, headers=error.headers)


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
        return errors.MethodNotAllowed(str(exception.detail))
    if isinstance(exception, PermissionDenied | exceptions.PermissionDenied):
        return errors.Forbidden()
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


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _respond(errors.BadRequest())


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _respond(errors.Forbidden())


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path.startswith("/admin"):
        return defaults.page_not_found(request, exception)
    return _respond(errors.NotFound("Nothing answers at this path. The API is described at /docs."))


def server_error(request: HttpRequest) -> HttpResponse:
    return _respond(ApiError("Something went wrong on our side. Quote the X-Request-Id header when you report it."))


def _respond(error: ApiError) -> JsonResponse:
    return JsonResponse(error.as_body(), status=error.status, headers=error.headers)
