"""Doors: what an account was told about, and that somebody saw it."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse

from cueapi import clock
from cueapi.errors import ApiError
from cueapi.ids import parse_uuid
from cueapi.pages import account_of, answers, back_to, page, signed_in
from executions import alerts
from executions.models import Alert, AlertType
from executions.pages.reading import PAGE, Query

PATH = "/alerts"


@answers("GET")
@signed_in
def alerts_page(request: HttpRequest) -> HttpResponse:
    query = Query(request)
    seen = query.choice("seen", ["yes", "any"])
    columns: dict[str, Any] = {
        "alert_type": query.choice("type", AlertType.values),
        "cue": query.text("cue") or None,
        "acknowledged_at__isnull": {None: True, "yes": False}.get(seen),
    }
    wanted = {column: value for column, value in columns.items() if value is not None}
    rows = Alert.objects.filter(account=account_of(request), **wanted).select_related("cue")
    sheet = query.sheet(rows.defer("cue__payload", "cue__callback_headers", "cue__description"), by="created_at")
    facts: dict[str, Any] = {
        "rows": sheet.rows,
        "newer": query.at(sheet.newer),
        "older": query.at(sheet.older),
        "chosen": query.kept,
        "types": AlertType.choices,
        "waiting": [alert.pk for alert in sheet.rows if alert.acknowledged_at is None],
    }
    return page(request, "executions/pages/alerts.html", **facts)


@answers("POST")
@signed_in
def acknowledge(request: HttpRequest) -> HttpResponse:
    """Those named in the form: one, or all that a page showed."""
    done = 0
    for text in request.POST.getlist("alert")[:PAGE]:
        try:
            alerts.acknowledge(account_of(request), parse_uuid(text), now=clock.now())
        except ApiError as error:
            messages.error(request, error.message)
        else:
            done += 1
    if done:
        messages.success(request, f"{done} acknowledged.")
    return back_to(request, PATH)
