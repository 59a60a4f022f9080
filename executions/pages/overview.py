"""Door: the first page, which answers whether all is well."""

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse

from cueapi import clock
from cueapi.clock import rfc3339
from cueapi.pages import account_of, answers, page, signed_in
from executions import glance
from executions.glance import Places
from executions.overview import Bar
from executions.pages.executions import live_address, rows_of

NEWEST = 10


@answers("GET")
@signed_in
def overview_page(request: HttpRequest) -> HttpResponse:
    seen = glance.take(account_of(request), PLACES, over=request.GET.get("range", ""), now=clock.now())
    live = live_address()
    newest = list(rows_of(request).newest_first()[:NEWEST])
    return page(request, "executions/pages/overview.html", glance=seen, newest=newest, live=live)


def _lists(since: datetime) -> Mapping[str, str]:
    start = rfc3339(since)
    return {
        "executions": f"/executions?{urlencode({'ended_since': start})}",
        "dead": f"/dead-letters?{urlencode({'replayed': 'any', 'handled': 'any', 'since': start})}",
        "waiting": "/executions?late=yes",
        "retrying": "/executions?status=retrying",
        "awaited": "/executions?status=pending_outcome",
        "alerts": "/alerts",
        "destinations": "/destinations",
        "cues": "/cues",
    }


def _ended(bar: Bar) -> str:
    return f"/executions?{urlencode({'ended_since': rfc3339(bar.start), 'ended_until': rfc3339(bar.end)})}"


PLACES = Places(_lists, _ended, cue=lambda cue_id: f"/cues/{cue_id}")
