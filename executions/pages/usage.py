"""Door: what an account used of its plan."""

from typing import Any

from django.http import HttpRequest, HttpResponse

from cueapi import clock, usage
from cueapi.pages import account_of, answers, page, signed_in
from cueapi.plans import NO_LIMIT
from cueapi.usage import Month, Share
from cues.models import Cue

MONTHS_SHOWN = 12


@answers("GET")
@signed_in
def usage_page(request: HttpRequest) -> HttpResponse:
    account, now = account_of(request), clock.now()
    month, limit = Month.of(now), usage.limit_of(account)
    share = Share(usage.this_month(account.pk, now=now), limit)
    facts: dict[str, Any] = {
        "month": month,
        "share": share,
        "limit": limit if limit < NO_LIMIT else None,
        "width": min(1000, round(1000 * share.used / limit)) if limit else 0,
        "projected": month.projected(share.used),
        "cues": Cue.objects.of(account).open().count(),
        "account": account,
        "months": account.usage.order_by("-month")[:MONTHS_SHOWN],
    }
    return page(request, "executions/pages/usage.html", **facts)
