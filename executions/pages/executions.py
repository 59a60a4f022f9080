"""Doors: the executions of an account as a list, and the same as they change."""

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from cueapi import clock
from cueapi.errors import ApiError
from cueapi.ids import parse_execution_id
from cueapi.pages import account_of, answers, page, see_other, signed_in
from executions import overview
from executions.failures import ErrorClass
from executions.feed import SETTLED_AFTER, Position, Unreadable, Wanted
from executions.models import Execution, ExecutionQuerySet
from executions.pages.reading import Query
from executions.states import OutcomeState, Status, Trigger
from executions.views.events import LAST_EVENT_ID, Stream

ROWS_MAX = 50
GOES_ON_WITHIN = timedelta(minutes=10)
HEARTBEAT_S = 3.0  # a page that was left is noticed by then, and its place is free
LIST_COLUMNS = (
    *("account_id", "cue_id", "cue__name", "status", "triggered_by", "scheduled_for", "attempts", "http_status"),
    *("error_message", "outcome_error", "error_class", "outcome_state", "due_at", "created_at", "updated_at"),
)


def rows_of(request: HttpRequest) -> ExecutionQuerySet:
    """The account's executions with what a list shows of them."""
    rows: ExecutionQuerySet = Execution.objects.of(account_of(request)).select_related("cue").only(*LIST_COLUMNS)
    return rows


@answers("GET")
@signed_in
def executions_page(request: HttpRequest) -> HttpResponse:
    query = Query(request)
    execution_id = query.read("id", parse_execution_id, "That is no execution's id. Paste the whole of it.")
    if execution_id:
        return see_other(f"/executions/{execution_id}")
    rows, found = _asked_for(rows_of(request), query)
    live = live_address(**query.kept)
    sheet = query.sheet(found, by="created_at", within=None if found is rows else rows)
    facts: dict[str, Any] = {
        "sheet": sheet,
        "newer": query.at(sheet.newer),
        "older": query.at(sheet.older),
        "chosen": query.kept,
        "ended": [(name, query.kept[name]) for name in ("ended_since", "ended_until") if name in query.kept],
        "choices": {"status": Status, "trigger": Trigger, "outcome": OutcomeState, "error": ErrorClass},
        "late": [("yes", "late to be sent")],
        "live": live if sheet.newer is None and query.kept.keys() <= {"cue"} else None,
    }
    return page(request, "executions/pages/executions.html", **facts)


def _asked_for(rows: ExecutionQuerySet, query: Query) -> tuple[ExecutionQuerySet, ExecutionQuerySet]:
    """Those that an index finds, and of them those that the query is about: the same where it asks for no more."""
    columns = {
        "cue": query.text("cue") or None,
        "created_at__gte": query.instant("since"),
        "created_at__lt": query.instant("until"),
    }
    rows = rows.filter(**_given(columns))
    ended_until = query.instant("ended_until")
    if ended_until is not None:
        rows = rows.filter(created_at__lt=ended_until)  # nothing ends before it is made
    if query.choice("late", ["yes"]):
        rows = rows.filter(overview.late(clock.now()))
    searched = _given(
        {
            "closed_at__gte": query.instant("ended_since"),
            "closed_at__lt": ended_until,
            "status": query.choice("status", Status.values),
            "triggered_by": query.choice("trigger", Trigger.values),
            "outcome_state": query.choice("outcome", OutcomeState.values),
            "error_class": query.choice("error", ErrorClass.values),
        }
    )
    return rows, rows.filter(**searched) if searched else rows


def _given(columns: dict[str, Any]) -> dict[str, Any]:
    return {column: value for column, value in columns.items() if value is not None}


def live_address(**filters: str) -> str:
    """Where the changes come from of a list that is read from now on, those that are just being made included."""
    return f"/live?{urlencode({**filters, 'from': str(Position(clock.now() - SETTLED_AFTER))})}"


@answers("GET")
@signed_in
def execution_rows(request: HttpRequest) -> HttpResponse:
    """The rows of these executions, as the list has them, for who keeps it up to date."""
    named = (parse_execution_id(text) for text in request.GET.get("ids", "").split(",")[:ROWS_MAX])
    found = rows_of(request).filter(pk__in=[pk for pk in named if pk]).newest_first()
    return page(request, "executions/pages/execution_rows.html", rows=list(found))


@answers("GET")
@signed_in
def live(request: HttpRequest) -> HttpResponseBase:
    """The account's executions as they change, as Server-Sent Events; the same as GET /v1/events."""
    wanted = Wanted(cue_id=request.GET.get("cue", "").replace("\x00", "\ufffd") or None)
    try:
        stream = Stream(account_of(request), wanted, _position(request, now=clock.now()), heartbeat_s=HEARTBEAT_S)
    except ApiError as refusal:
        return HttpResponse(refusal.message, status=refusal.status, headers=refusal.headers, content_type="text/plain")
    response = StreamingHttpResponse(stream, content_type="text/event-stream; charset=utf-8")
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _position(request: HttpRequest, *, now: datetime) -> Position:
    """After the last event that the browser got, else from when its page was made; from now on, if that is long ago."""
    for text in (request.headers.get(LAST_EVENT_ID, ""), request.GET.get("from", "")):
        try:
            position = Position.parse(text)
        except Unreadable:
            continue
        if now - GOES_ON_WITHIN <= position.at <= now:
            return position
    return Position(now)
