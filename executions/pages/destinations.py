"""Doors: where an account's webhooks go, how each place does, and steering by hand."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse

from cueapi import clock
from cueapi.pages import account_of, act, answers, page, see_other, signed_in
from executions import steering
from executions.pages.reading import Query
from executions.steering import RATE_MAX

PATH = "/destinations"
SHOWN = 100


class RateForm(forms.Form):
    rate_per_minute = forms.IntegerField(required=False, min_value=1, max_value=RATE_MAX)


@answers("GET")
@signed_in
def destinations_page(request: HttpRequest) -> HttpResponse:
    query = Query(request)
    found = steering.sights(account_of(request), now=clock.now(), part=query.text("q"), at_most=SHOWN + 1)
    rows = [
        {
            "sight": sight,
            "row": sight.destination,
            "percent": None if sight.success_rate is None else round(100 * sight.success_rate),
            "p50": sight.latency_ms(0.5),
            "p95": sight.latency_ms(0.95),
        }
        for sight in found[:SHOWN]
    ]
    facts: dict[str, Any] = {"rows": rows, "chosen": query.kept, "more_than": SHOWN if len(found) > SHOWN else None}
    return page(request, "executions/pages/destinations.html", rate_max=RATE_MAX, **facts)


@answers("POST")
@signed_in
def open_destination(request: HttpRequest, destination_id: str) -> HttpResponse:
    act(
        request,
        lambda: steering.open_by_hand(account_of(request), destination_id, now=clock.now()),
        "The breaker is open: nothing more is sent there until somebody closes it. What is due waits.",
    )
    return see_other(PATH)


@answers("POST")
@signed_in
def close_destination(request: HttpRequest, destination_id: str) -> HttpResponse:
    act(
        request,
        lambda: steering.close_by_hand(account_of(request), destination_id, now=clock.now()),
        "The breaker is closed: what waits is sent again, one request at a time first.",
    )
    return see_other(PATH)


@answers("POST")
@signed_in
def set_rate(request: HttpRequest, destination_id: str) -> HttpResponse:
    form = RateForm(request.POST)
    if not form.is_valid():
        messages.error(request, f"A rate is a whole number from 1 to {RATE_MAX:,}; empty is no limit.")
        return see_other(PATH)
    rate = form.cleaned_data["rate_per_minute"]
    done = f"At most {rate} attempts a minute start from now on." if rate else "Attempts start without a limit now."
    act(request, lambda: steering.set_rate(account_of(request), destination_id, rate, now=clock.now()), done)
    return see_other(PATH)
