"""Doors: what ended badly, and running it again, one by one or all that match."""

from dataclasses import replace
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse

from cueapi import clock
from cueapi.clock import rfc3339
from cueapi.errors import ApiError
from cueapi.pages import account_of, answers, page, see_other, signed_in
from executions import dead_letters
from executions.dead_letters import LIMIT_MAX, Filters, Order, Report
from executions.failures import ErrorClass
from executions.firing import ReplayOf
from executions.pages.executions import LIST_COLUMNS
from executions.pages.reading import Query

PATH = "/dead-letters"
YES_NO = {"yes": True, "no": False}


@answers("GET")
@signed_in
def dead_letters_page(request: HttpRequest) -> HttpResponse:
    account, query = account_of(request), Query(request)
    found = dead_letters.find(account, _filters(query)).select_related("cue").only(*LIST_COLUMNS, "closed_at")
    sheet = query.sheet(found, by="closed_at")
    replays = dead_letters.replays_of(letter.pk for letter in sheet.rows)
    facts: dict[str, Any] = {
        "rows": [(letter, replays.get(letter.pk, ())) for letter in sheet.rows],
        "newer": query.at(sheet.newer),
        "older": query.at(sheet.older),
        "chosen": query.kept,
        "errors": ErrorClass.choices,
    }
    return page(request, "executions/pages/dead_letters.html", **facts)


@answers("POST")
@signed_in
def replay_page(request: HttpRequest) -> HttpResponse:
    """First say how many, and what would be done; once that is confirmed, do it."""
    request.GET = request.POST  # the filters come as fields of the form
    query, confirmed = Query(request), request.POST.get("confirmed") == "yes"
    definition = ReplayOf(query.choice("definition", list(ReplayOf)) or ReplayOf.AS_SENT)
    filters = replace(_filters(query), replayed=None)
    if query.has_refused:
        return see_other(PATH)
    if filters.until is None and not confirmed:  # what ends from now on was not counted
        filters = replace(filters, until=clock.now())
        query.kept["until"] = str(rfc3339(filters.until))
    order = Order(filters, definition=definition, limit=LIMIT_MAX)
    try:
        report = dead_letters.replay(account_of(request), replace(order, dry_run=not confirmed), now=clock.now())
    except ApiError as error:
        messages.error(request, error.message)
        return see_other(PATH)
    if not confirmed:
        return _ask(request, query, order, report)
    messages.success(request, in_words(report))
    return see_other(PATH)


def _ask(request: HttpRequest, query: Query, order: Order, report: Report) -> HttpResponse:
    facts: dict[str, Any] = {
        "count": min(report.matched - sum(report.skipped.values()), order.limit),
        "matched": report.matched,
        "limit": order.limit,
        "is_current": order.definition == ReplayOf.CURRENT,
        "kept": query.kept,
    }
    return page(request, "executions/pages/replay.html", **facts)


def in_words(report: Report) -> str:
    """What came of a bulk replay."""
    made, skipped = len(report.made), sum(report.skipped.values())
    said = f"{made} {'execution was' if made == 1 else 'executions were'} replayed."
    if skipped:
        said += f" {skipped} could not be: their cue is gone, or wants a payload, or they were replayed meanwhile."
    return f"{said} There are more: replay again." if report.has_more else said


def _filters(query: Query) -> Filters:
    """Those that nobody replayed or handled, unless others are asked for."""
    replayed, handled = (query.choice(name, ["yes", "no", "any"]) for name in ("replayed", "handled"))
    return Filters(
        cue_id=query.text("cue") or None,
        error_class=query.choice("error", ErrorClass.values),
        since=query.instant("since"),
        until=query.instant("until"),
        replayed=YES_NO.get(replayed or "no"),
        handled=YES_NO.get(handled or "no"),
    )
