"""Doors: signing in to our own pages, and out of them."""

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse
from django.utils.cache import add_never_cache_headers

from cueapi import clock, sign_in, throttling
from cueapi.errors import ApiError
from cueapi.pages import SIGN_IN_PATH, answers, is_ours, page, see_other
from cueapi.sign_in import LinkRefused
from cueapi.throttling import HOUR_S, WINDOW_S, Quota

MAILED_FROM = Quota("sign-in-from", limit=10, window_s=HOUR_S)  # for one address on the network
MAILED_TO = Quota("sign-in-to", limit=3, window_s=HOUR_S)  # for one e-mail address
KEY_TRIED = Quota("sign-in-key", limit=20, window_s=WINDOW_S)  # for one address on the network


class MailForm(forms.Form):
    email = forms.EmailField(label="Your e-mail address", max_length=254)


class KeyForm(forms.Form):
    api_key = forms.CharField(label="API key", max_length=200)


@answers("GET", "POST")
def sign_in_page(request: HttpRequest) -> HttpResponse:
    """Ask for an address or a key. A POST with one of them answers where that leads."""
    if request.method != "POST":
        return see_other(_next(request)) if request.user.is_authenticated else _ask(request)
    return _try_key(request) if "api_key" in request.POST else _mail(request)


def _mail(request: HttpRequest) -> HttpResponse:
    form = MailForm(request.POST)
    if not form.is_valid():
        return _ask(request, "Type the whole address, such as you@example.org.", status=400)
    email, now = form.cleaned_data["email"], clock.now()
    try:
        throttling.take(MAILED_FROM, throttling.client_address(request), now=now)
        throttling.take(MAILED_TO, email.lower(), now=now)
    except ApiError as error:
        return _ask(request, error.message, status=error.status)
    sign_in.send_link(email, next_path=_next(request))
    return page(request, "cueapi/sign_in/mailed.html", email=email)


def _try_key(request: HttpRequest) -> HttpResponse:
    form, now = KeyForm(request.POST), clock.now()
    if not form.is_valid():
        return _ask(request, "Paste a whole API key; it starts with cue_sk_.", status=400)
    try:
        throttling.take(KEY_TRIED, throttling.client_address(request), now=now)
        sign_in.enter_by_key(request, form.cleaned_data["api_key"].strip(), now=now)
    except ApiError as error:
        return _ask(request, error.message, status=error.status)
    return see_other(_next(request))


@answers("GET", "POST")
def link_page(request: HttpRequest) -> HttpResponse:
    """Where a mailed link leads: a button, since mail scanners open links and press nothing."""
    token = request.GET.get("token", "")
    try:
        if request.method == "POST":
            sign_in.enter_by_link(request, token, now=clock.now())
            return see_other(_next(request))
        email = sign_in.address_in(token)
    except LinkRefused as refusal:
        return _private(_ask(request, str(refusal), status=400))
    return _private(page(request, "cueapi/sign_in/confirm.html", email=email))


@answers("POST")
def sign_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    messages.success(request, "You are signed out.")
    return see_other(SIGN_IN_PATH)


def _ask(request: HttpRequest, refusal: str = "", *, status: int = 200) -> HttpResponse:
    facts: dict[str, Any] = {"next": _next(request), "refusal": refusal}
    response = page(request, "cueapi/sign_in/ask.html", status=status, **facts)
    add_never_cache_headers(response)
    return response


def _next(request: HttpRequest) -> str:
    """Where to go afterwards: a path on this server."""
    asked = request.POST.get("next") or request.GET.get("next") or "/"
    return asked if is_ours(asked) else "/"


def _private(response: HttpResponse) -> HttpResponse:
    """The address holds a token, so nothing keeps it or passes it on.

    The origin is told: with "no-referrer" browsers post `Origin: null`, which the check against forgery refuses.
    """
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "strict-origin"
    return response
