"""Doors: the list of the account's cues, the page of one, and firing, pausing and resuming it."""

import json
from collections.abc import Callable
from functools import partial, wraps
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from cueapi import clock
from cueapi.errors import InvalidPayload
from cueapi.pages import account_of, act, answers, back_to, missing, page, signed_in
from cueapi.parsers import problems
from cues import services
from cues.models import Cue, CueStatus
from cues.services import CueNotFound
from executions import firing, portrait, roster
from executions.firing import ManualFire
from executions.links import Form, Links
from executions.pages.reading import Query

GONE = "There is no such cue here. It may have been deleted; the list of cues has those that there are."
NO_OBJECT = 'The payload is no JSON object. Write one such as {"order": 17}.'


@answers("GET")
@signed_in
def cues_page(request: HttpRequest) -> HttpResponse:
    query = Query(request)
    status, name = query.choice("status", CueStatus.values), query.text("q")
    wanted = {column: text for column, text in (("status", status), ("name__icontains", name)) if text}
    sheet = query.sheet(roster.rows(account_of(request)).filter(**wanted), by="created_at")
    facts: dict[str, Any] = {
        "lines": roster.lines(sheet.rows),
        "newer": query.at(sheet.newer),
        "older": query.at(sheet.older),
        "chosen": query.kept,
        "statuses": CueStatus.choices,
    }
    return page(request, "executions/pages/cues.html", **facts)


def _with_own(view: Callable[[HttpRequest, Cue], HttpResponse]) -> Callable[[HttpRequest, str], HttpResponse]:
    """Hands the account's cue to the view; what is not there has a page of its own."""

    @wraps(view)
    def door(request: HttpRequest, cue_id: str) -> HttpResponse:
        try:
            cue = services.find(account_of(request), cue_id)
        except CueNotFound:
            return missing(request, GONE)
        return view(request, cue)

    return door


@answers("GET")
@signed_in
@_with_own
def cue_page(request: HttpRequest, cue: Cue) -> HttpResponse:
    seen = portrait.read(cue, links_of(cue), asked=request.GET.dict(), now=clock.now())
    return page(request, "executions/pages/cue.html", portrait=seen)


def links_of(cue: Cue) -> Links:
    return Links(
        here=_path(cue.pk),
        runs=f"{reverse('pages:executions')}?{urlencode({'cue': cue.pk})}",
        failures=f"{reverse('pages:dead-letters')}?{urlencode({'cue': cue.pk, 'replayed': 'any'})}",
        changes=f"{reverse('pages:audit')}?{urlencode({'subject': cue.pk})}",
        execution=lambda execution_id: reverse("pages:execution", args=[execution_id]),
        cue=_path,
        act=lambda action: Form(reverse(f"pages:{action}-cue", args=[cue.pk]), takes_payload=action == "fire"),
    )


def _path(cue_id: str) -> str:
    return reverse("pages:cue", args=[cue_id])


# --- What may be done -------------------------------------------------------------------------------------------


@answers("POST")
@signed_in
@_with_own
def fire_cue(request: HttpRequest, cue: Cue) -> HttpResponse:
    def fire() -> object:
        order = ManualFire(payload_override=_payload_in(request))
        firing.take_turn(cue.account_id, now=clock.now())
        return firing.fire(cue, order, now=clock.now())

    act(request, fire, "Fired. Its execution is the first of the latest ones.")
    return back_to(request, _path(cue.pk))


def _payload_in(request: HttpRequest) -> dict[str, Any] | None:
    """The payload that the form has; None for none. Raises InvalidPayload."""
    text = request.POST.get("payload", "").strip()
    if not text:
        return None
    try:
        payload = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidPayload(NO_OBJECT) from None
    if not isinstance(payload, dict):
        raise InvalidPayload(NO_OBJECT)
    for path, problem in problems(payload, "payload"):
        raise InvalidPayload(f"{path}: {problem}")
    return payload


@answers("POST")
@signed_in
@_with_own
def pause_cue(request: HttpRequest, cue: Cue) -> HttpResponse:
    return _switch(request, cue, {"status": "paused"}, f"Paused: {cue.name}.")


@answers("POST")
@signed_in
@_with_own
def resume_cue(request: HttpRequest, cue: Cue) -> HttpResponse:
    return _switch(request, cue, {"status": "active"}, f"Resumed: {cue.name}.")


def _switch(request: HttpRequest, cue: Cue, change: dict[str, Any], done: str) -> HttpResponse:
    act(request, partial(services.update, account_of(request), cue.pk, change, now=clock.now()), done)
    return back_to(request, _path(cue.pk))
