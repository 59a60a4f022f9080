"""Counting what each account uses in a month (contract 8.2)."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from django.db.models import F

from cueapi.models import Account, MonthlyUsage, month_of
from cueapi.plans import NO_LIMIT

NEAR = 0.8


def add(executions_by_account: Mapping[UUID, int], *, now: datetime) -> None:
    """Add these attempts to the month of `now`. Call inside the transaction that starts the attempts."""
    month = month_of(now)
    for account_id in sorted(executions_by_account):
        count = executions_by_account[account_id]
        row = MonthlyUsage.objects.filter(account_id=account_id, month=month)
        if not row.update(executions=F("executions") + count):
            MonthlyUsage.objects.bulk_create([MonthlyUsage(account_id=account_id, month=month)], ignore_conflicts=True)
            row.update(executions=F("executions") + count)


def this_month(account_id: UUID, *, now: datetime) -> int:
    row = MonthlyUsage.objects.filter(account_id=account_id, month=month_of(now)).first()
    return row.executions if row else 0


def is_near_limit(account: Account, *, now: datetime) -> bool:
    """Whether the month's use has reached 80 % of the account's limit. Accounts without a limit cost no query."""
    limit = account.monthly_execution_limit
    return limit < NO_LIMIT and this_month(account.pk, now=now) >= NEAR * limit
