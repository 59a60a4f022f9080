"""Doors: the processes of an account that pull work."""

from collections import Counter

from django.db.models import Count
from django.http import HttpRequest, HttpResponse

from cueapi import clock
from cueapi.models import Account
from cueapi.pages import account_of, act, answers, page, see_other, signed_in
from cues.models import Transport
from executions import claims, workers
from executions.models import Execution
from executions.states import Status

PATH = "/workers"


@answers("GET")
@signed_in
def workers_page(request: HttpRequest) -> HttpResponse:
    account, now = account_of(request), clock.now()
    held = _held_by(account)
    rows = [(one, workers.state_of(one, now=now), held[one.worker_id]) for one in workers.all_of(account)]
    return page(request, "executions/pages/workers.html", rows=rows)


@answers("POST")
@signed_in
def forget_worker(request: HttpRequest) -> HttpResponse:
    worker_id = request.POST.get("worker_id", "")
    done = "The worker is forgotten, and what it had claimed can be claimed again."
    act(request, lambda: claims.forget_worker(account_of(request), worker_id, now=clock.now()), done)
    return see_other(PATH)


def _held_by(account: Account) -> Counter[str]:
    """How many executions each worker has claimed and not finished."""
    claimed = Execution.objects.of(account).filter(status=Status.DELIVERING, transport=Transport.WORKER, closed_at=None)
    return Counter(dict(claimed.order_by().values_list("claimed_by_worker").annotate(Count("pk"))))
