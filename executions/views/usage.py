"""Doors: what an account used of its plan this month (contract 8.2)."""

from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from cueapi import clock, usage
from cueapi.api import ApiView, account_of
from cueapi.usage import Month, Share
from cues.models import Cue, CueStatus
from executions import statistics
from executions.serializers import usage as shapes


class UsageView(ApiView):
    @extend_schema(operation_id="usage", responses={200: shapes.UsageOut}, summary="What you used of your plan")
    def get(self, request: Request) -> Response:
        account, now = account_of(request), clock.now()
        month, rate = Month.of(now), getattr(request, "rate", None)
        cues = Cue.objects.of(account).open()
        period = {"start": month.start.isoformat(), "end": month.end.isoformat()}
        return Response(
            {
                "plan": account.plan,
                "billing_period": {**period, "days_remaining": month.days_remaining},
                "period": period,
                "cues": {
                    **_share(Share(cues.count(), account.active_cue_limit)),
                    "active": cues.filter(status=CueStatus.ACTIVE).count(),
                },
                "executions": _executions(Share(usage.this_month(account.pk, now=now), usage.limit_of(account)), month),
                "outcomes": asdict(statistics.outcomes_since(account, month.starts_at)),
                "rate_limit": {
                    "requests_per_minute": account.rate_limit_per_minute,
                    "limit": account.rate_limit_per_minute,
                    "current_usage": rate.limit - rate.remaining if rate else 0,
                },
                "upgrade_url": None,
            }
        )


def _executions(share: Share, month: Month) -> dict[str, Any]:
    projected = month.projected(share.used)
    return {
        **_share(share),
        "percentage": share.percentage,
        "projected_month_end": projected,
        "will_exceed_limit": projected > share.limit,
    }


def _share(share: Share) -> dict[str, Any]:
    return {
        "used": share.used,
        "limit": share.limit,
        "remaining": share.remaining,
        "percent_used": share.percent_used,
    }
