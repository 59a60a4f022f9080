"""Doors: the processes of an account that pull work."""

from django.http import HttpRequest, HttpResponse

from cueapi import clock
from cueapi.pages import account_of, act, answers, page, see_other, signed_in
from executions import claims, workers

PATH = "/workers"
SHOWN = 200


@answers("GET")
@signed_in
def workers_page(request: HttpRequest) -> HttpResponse:
    account, now = account_of(request), clock.now()
    known = workers.all_of(account, at_most=SHOWN)
    held = claims.held_by(known)
    rows = [(one, workers.state_of(one, now=now), held[one.pk]) for one in known]
    return page(request, "executions/pages/workers.html", rows=rows, shown=SHOWN if len(rows) == SHOWN else None)


@answers("POST")
@signed_in
def forget_worker(request: HttpRequest) -> HttpResponse:
    worker_id = request.POST.get("worker_id", "")
    done = "The worker is forgotten, and what it had claimed can be claimed again."
    act(request, lambda: claims.forget_worker(account_of(request), worker_id, now=clock.now()), done)
    return see_other(PATH)
