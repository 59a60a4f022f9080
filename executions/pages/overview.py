"""Door: the first page, which answers whether all is well."""

from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse

from cueapi import clock
from cueapi.clock import rfc3339
from cueapi.pages import account_of, answers, page, signed_in
from executions import glance
from executions.glance import Places
from executions.overview import Bar
from executions.pages.executions import rows_of

NEWEST = 10


@answers("GET")
@signed_in
def overview_page(request: HttpRequest) -> HttpResponse:
    seen = glance.take(account_of(request), PLACES, over=request.GET.get("range", ""), now=clock.now())
    newest = list(rows_of(request).newest_first()[:NEWEST])
    return page(request, "executions/pages/overview.html", glance=seen, newest=newest, live="/live")


def _ended(bar: Bar) -> str:
    """What failed is listed by its end; what did not, by when it was made."""
    within = {"since": rfc3339(bar.start), "until": rfc3339(bar.end)}
    if bar.total > bar.ended["success"]:
        return f"/dead-letters?{urlencode({'replayed': 'any', **within})}"
    return f"/executions?{urlencode(within)}"


PLACES = Places(
    lists={
        "executions": "/executions",
        "dead": "/dead-letters?replayed=any",
        "waiting": "/executions?status=pending",
        "retrying": "/executions?status=retrying",
        "awaited": "/executions?status=pending_outcome",
        "alerts": "/alerts",
        "destinations": "/destinations",
        "cues": "/cues",
    },
    ended=_ended,
    cue=lambda cue_id: f"/cues/{cue_id}",
)
