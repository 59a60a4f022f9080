"""What the doors of our own pages share: who may enter, how a page is made, and how an action answers.

A page is for an account that signed in with a session cookie. Nothing is changed by GET; a POST carries a CSRF token.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.cache import patch_cache_control, patch_vary_headers
from django.utils.http import url_has_allowed_host_and_scheme

from cueapi import logging, problems, trail
from cueapi.errors import ApiError, MethodNotAllowed
from cueapi.models import Account, ActorKind

View = Callable[..., HttpResponseBase]
SIGN_IN_PATH = "/login"

PLACES = (
    ("/", "Overview"),
    ("/executions", "Executions"),
    ("/cues", "Cues"),
    ("/dead-letters", "Dead letters"),
    ("/destinations", "Destinations"),
    ("/workers", "Workers"),
    ("/alerts", "Alerts"),
    ("/usage", "Usage"),
    ("/audit", "Audit trail"),
    ("/keys", "Keys"),
    ("/settings", "Settings"),
)


@dataclass(frozen=True)
class Place:
    """A link of the head of every page."""

    path: str
    title: str
    is_here: bool


def answers(*methods: str) -> Callable[[View], View]:
    """The methods that a page answers; GET stands for HEAD too. To who calls it as an API it is not there."""
    allowed = (*methods, "HEAD") if "GET" in methods else methods

    def decorate(view: View) -> View:
        @wraps(view)
        def door(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if "Authorization" in request.headers:
                raise Http404
            if request.method not in allowed:
                return _not_allowed(request, allowed)
            return view(request, *args, **kwargs)

        door.csrf_exempt = "POST" not in methods  # type: ignore[attr-defined]  # it refuses every POST
        return door

    return decorate


def _not_allowed(request: HttpRequest, allowed: Sequence[str]) -> HttpResponseBase:
    names = ", ".join(method for method in allowed if method != "HEAD")
    error = MethodNotAllowed(f"This page does not answer {request.method}. It answers {names}.")
    response = problems.respond(error, request)
    response.headers["Allow"] = ", ".join(allowed)
    return response


def signed_in(view: View) -> View:
    """Let only accounts in that signed in; the others are asked to, and then come back."""

    @wraps(view)
    def door(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path(), SIGN_IN_PATH)
        logging.note(account=request.user.pk)
        trail.note(ActorKind.SESSION, account_of(request).email)
        response = view(request, *args, **kwargs)
        patch_cache_control(response, private=True, no_cache=True)
        patch_vary_headers(response, ["Cookie"])
        return response

    return door


def account_of(request: HttpRequest) -> Account:
    """The account that signed in, behind `signed_in`."""
    return cast(Account, request.user)


def page(request: HttpRequest, template: str, *, status: int = 200, **facts: Any) -> HttpResponse:
    """A page with the frame that all of them have."""
    places = [Place(path, title, _is_here(path, request.path)) for path, title in PLACES]
    return render(request, template, {"places": places, **facts}, status=status)


def missing(request: HttpRequest, why: str) -> HttpResponse:
    """The page for what is not there, or not this account's."""
    return page(request, "cueapi/missing.html", status=404, why=why)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """For a path that nothing answers: a page for who reads pages, an error of the API for everyone else."""
    if _reads_pages(request):
        return missing(request, "There is no page at this address. Look whether it was copied whole.")
    return problems.not_found(request, exception)


def unconfirmed(request: HttpRequest, reason: str = "") -> HttpResponse:
    """For a form that did not come from a page of ours, as far as its cookie and token tell."""
    why = "Nothing was done, because this form could not be shown to come from here. Go back, reload, and try again."
    return page(request, "cueapi/missing.html", status=403, title="Not confirmed", why=why)


def _reads_pages(request: HttpRequest) -> bool:
    is_api = request.path.startswith(("/v1/", "/admin")) or "Authorization" in request.headers
    return request.method in ("GET", "HEAD") and not is_api and "text/html" in request.headers.get("Accept", "")


def _is_here(path: str, here: str) -> bool:
    return here == path or (path != "/" and here.startswith(f"{path}/"))


def act(request: HttpRequest, action: Callable[[], object], done: str) -> bool:
    """Do it and say so, or say why not. Whether it was done."""
    try:
        action()
    except ApiError as error:
        messages.error(request, error.message)
        return False
    messages.success(request, done)
    return True


def see_other(path: str) -> HttpResponse:
    """After a POST: the browser asks for this path next, so that a reload repeats nothing."""
    return HttpResponse(status=303, headers={"Location": path})


def back_to(request: HttpRequest, otherwise: str) -> HttpResponse:
    """After a POST: to the page of ours named by its field `next`, else to `otherwise`."""
    asked = request.POST.get("next", "")
    return see_other(asked if is_ours(asked) else otherwise)


def is_ours(path: str) -> bool:
    """Whether this is a path on this server, and not an address elsewhere."""
    return path.startswith("/") and url_has_allowed_host_and_scheme(path, allowed_hosts=None)
