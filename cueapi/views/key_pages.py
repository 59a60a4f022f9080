"""Doors: an account's API keys, as a page."""

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils.cache import add_never_cache_headers

from cueapi import clock, keys, throttling
from cueapi.errors import ApiError
from cueapi.models import ApiKey
from cueapi.pages import account_of, act, answers, page, see_other, signed_in
from cueapi.views.keys import CREATED

PATH = "/keys"
LABEL_HELP = f"A label has 1 to {keys.LABEL_MAX_CHARS} characters, such as “laptop”."


class LabelForm(forms.Form):
    label = forms.CharField(max_length=keys.LABEL_MAX_CHARS)


@answers("GET", "POST")
@signed_in
def keys_page(request: HttpRequest) -> HttpResponse:
    """The keys; a POST makes another, whose text this one answer shows."""
    if request.method != "POST":
        return _list(request)
    form = LabelForm(request.POST)
    if not form.is_valid():
        messages.error(request, LABEL_HELP)
        return _list(request, status=400)
    account, now = account_of(request), clock.now()
    try:
        throttling.take(CREATED, str(account.pk), now=now)
    except ApiError as error:
        messages.error(request, error.message)
        return _list(request, status=error.status)
    _, plaintext = keys.issue(account, label=form.cleaned_data["label"], created_by=keys.MADE_BY_USER, now=now)
    return _list(request, made=plaintext)


@answers("POST")
@signed_in
def revoke_key(request: HttpRequest, key_id: str) -> HttpResponse:
    def revoke() -> object:
        return keys.revoke(account_of(request), key_id, now=clock.now())

    act(request, revoke, "The key is revoked: calls with it are refused from now on.")
    return see_other(PATH)


@answers("POST")
@signed_in
def rename_key(request: HttpRequest, key_id: str) -> HttpResponse:
    form = LabelForm(request.POST)
    if not form.is_valid():
        messages.error(request, LABEL_HELP)
    else:
        label, now = form.cleaned_data["label"], clock.now()
        done = f"The key is called “{label}” now."
        act(request, lambda: keys.rename(account_of(request), key_id, label, now=now), done)
    return see_other(PATH)


def _list(request: HttpRequest, *, made: str = "", status: int = 200) -> HttpResponse:
    now = clock.now()
    rows = [
        {"key": key, "state": _state(key), "ended_at": keys.ended_at(key, now=now)}
        for key in keys.listed(account_of(request), now=now)
    ]
    response = page(request, "cueapi/account/keys.html", status=status, rows=rows, made=made)
    add_never_cache_headers(response)
    return response


def _state(key: ApiKey) -> str:
    if key.revoked_at:
        return "revoked"
    return "replaced" if key.replaced_at else "live"
