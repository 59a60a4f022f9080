"""Doors: one execution, its story, and what can be done about it."""

from collections.abc import Callable
from functools import wraps
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_cache_control

from cueapi import clock
from cueapi.pages import account_of, act, answers, back_to, missing, page, signed_in
from executions import firing, handling, outcomes, story
from executions.firing import ReplayOf
from executions.models import Execution
from executions.outcomes import ExecutionNotFound

GONE = "There is no such execution here. It may have been removed with its cue, or because its time was over."
REASON_MAX_CHARS = 500


def _with_own(view: Callable[[HttpRequest, Execution], HttpResponse]) -> Callable[[HttpRequest, UUID], HttpResponse]:
    """Hands the account's execution to the view; what is not there has a page of its own."""

    @wraps(view)
    def door(request: HttpRequest, execution_id: UUID) -> HttpResponse:
        try:
            execution = outcomes.find(account_of(request), execution_id)
        except ExecutionNotFound:
            return missing(request, GONE)
        return view(request, execution)

    return door


@answers("GET")
@signed_in
@_with_own
def execution_page(request: HttpRequest, execution: Execution) -> HttpResponse:
    told = story.tell(execution, now=clock.now())
    return page(request, "executions/pages/execution.html", story=told)


@answers("GET")
@signed_in
@_with_own
def execution_part(request: HttpRequest, execution: Execution) -> HttpResponse:
    """The same without the frame, for a page that keeps itself up to date: 304 while nothing has changed."""
    tag = f'"{execution.updated_at.timestamp():.6f}"'
    if request.headers.get("If-None-Match") == tag:
        return HttpResponse(status=304, headers={"ETag": tag})
    response = page(request, "executions/pages/execution_part.html", story=story.tell(execution, now=clock.now()))
    response.headers["ETag"] = tag
    patch_cache_control(response, private=True)
    return response


@answers("POST")
@signed_in
@_with_own
def replay(request: HttpRequest, execution: Execution) -> HttpResponse:
    """Run it again; leads to the new execution, or back to the list it was asked for from."""
    current = request.POST.get("definition") == ReplayOf.CURRENT
    made: list[Execution] = []

    def make() -> object:
        definition = ReplayOf.CURRENT if current else ReplayOf.AS_SENT
        made.append(firing.replay(execution, definition=definition, now=clock.now()))
        return made

    act(request, make, "It runs again, as a new execution.")
    return back_to(request, f"/executions/{made[0].pk if made else execution.pk}")


@answers("POST")
@signed_in
@_with_own
def handle(request: HttpRequest, execution: Execution) -> HttpResponse:
    """Say that its bad end is dealt with, or take that back."""
    handled, by = request.POST.get("handled") == "yes", account_of(request).email
    if handling.mark([execution.pk], handled=handled, by=by, now=clock.now()):
        messages.success(request, "It is marked as handled." if handled else "It waits to be handled again.")
    else:
        messages.warning(request, "Nothing changed: it did not end badly, or somebody was faster.")
    return back_to(request, f"/executions/{execution.pk}")


@answers("POST")
@signed_in
@_with_own
def verify(request: HttpRequest, execution: Execution) -> HttpResponse:
    """A person's word on its outcome."""
    valid = request.POST.get("valid") == "yes"
    reason = request.POST.get("reason", "").replace("\x00", "")[:REASON_MAX_CHARS] or None

    def judge() -> object:
        return outcomes.verify(account_of(request), execution.pk, valid=valid, reason=reason, now=clock.now())

    act(request, judge, "Its outcome is verified." if valid else "Its outcome is rejected.")
    return back_to(request, f"/executions/{execution.pk}")
