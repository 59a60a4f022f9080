"""What each account uses in a month, and what follows at its limit (contract 8.2).

At the limit a grace of 24 hours starts, once a month; after it new attempts are refused. Accounts without a limit
cost no query, and with DISABLE_QUOTA_ENFORCEMENT nobody has one.
"""

from calendar import monthrange
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Self
from uuid import UUID

from django.db.models import DateField, F, OuterRef, PositiveIntegerField, QuerySet, Subquery, UUIDField

from cueapi import mail
from cueapi.conf import conf
from cueapi.models import Account, MonthlyUsage, month_of
from cueapi.plans import NO_LIMIT
from cueapi.prepared import Update, given

NEAR = 0.8
GRACE = timedelta(hours=24)
REFUSAL = "Monthly execution limit reached. Ask the operator for a larger plan, or wait for the next month (UTC)."


_add = Update(
    lambda: MonthlyUsage.objects.filter(account=given("account", UUIDField()), month=given("month", DateField())),
    executions=F("executions") + given("more", PositiveIntegerField()),
)


def add(executions: Mapping[Account, int], *, now: datetime) -> None:
    """Add these attempts to the month of `now`. Call inside the transaction that starts the attempts."""
    month = month_of(now)
    for account in sorted(executions, key=lambda account: account.pk):
        same: dict[str, Any] = {"account": account.pk, "month": month, "more": executions[account]}
        if not _add.run(**same):
            MonthlyUsage.objects.bulk_create([MonthlyUsage(account=account, month=month)], ignore_conflicts=True)
            _add.run(**same)
    limited = [account.pk for account in executions if _is_limited(account)]
    if limited:
        _start_grace(limited, now=now)


def this_month(account_id: UUID, *, now: datetime) -> int:
    row = MonthlyUsage.objects.filter(account_id=account_id, month=month_of(now)).first()
    return row.executions if row else 0


def limit_of(account: Account) -> int:
    """Attempts a month; NO_LIMIT, which 0 stands for too, is none."""
    return account.monthly_execution_limit or NO_LIMIT


def is_near_limit(account: Account, *, now: datetime) -> bool:
    """Whether the month's use has reached 80 % of the account's limit."""
    return _is_limited(account) and this_month(account.pk, now=now) >= NEAR * limit_of(account)


def refused_among(accounts: Iterable[Account], *, now: datetime) -> set[UUID]:
    """The ids of those accounts whose new attempts are refused, in one query; in none if no account has a limit."""
    limited = {account.pk for account in accounts if _is_limited(account)}
    if not limited:
        return set()
    graceless = _at_limit(limited, now=now).filter(limit_reached_at__lte=now - GRACE)
    return set(graceless.values_list("account_id", flat=True))


def is_refused(account: Account, *, now: datetime) -> bool:
    """Whether new attempts of this account are refused."""
    return account.pk in refused_among([account], now=now)


def _is_limited(account: Account) -> bool:
    return not conf().disable_quota_enforcement and limit_of(account) < NO_LIMIT


def _at_limit(account_ids: Iterable[UUID], *, now: datetime) -> QuerySet[MonthlyUsage]:
    """The months of `now` that have reached their account's present limit."""
    limits = Account.objects.filter(pk=OuterRef("account_id"), monthly_execution_limit__range=(1, NO_LIMIT - 1))
    return MonthlyUsage.objects.filter(
        account_id__in=list(account_ids),
        month=month_of(now),
        executions__gte=Subquery(limits.values("monthly_execution_limit")),
    )


def _start_grace(account_ids: Iterable[UUID], *, now: datetime) -> None:
    """Note when the limit was reached. Whoever reaches it first in a month does, and has it mailed."""
    just_reached = _at_limit(account_ids, now=now).filter(limit_reached_at=None)
    if not just_reached.update(limit_reached_at=now):
        return
    for row in _at_limit(account_ids, now=now).filter(limit_reached_at=now).select_related("account"):
        mail.send_later("limit_reached", row.account, now=now)


# --- In figures -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Share:
    """How much of a limit is used. Of a limit of 0, nothing is."""

    used: int
    limit: int

    @property
    def remaining(self) -> int:
        return max(0, self.limit - self.used)

    @property
    def percent_used(self) -> int:
        return round(100 * self.used / self.limit) if self.limit else 0

    @property
    def percentage(self) -> float:
        return round(100 * self.used / self.limit, 1) if self.limit else 0.0


@dataclass(frozen=True)
class Month:
    """A UTC calendar month, seen from one of its days."""

    start: date
    end: date
    today: date

    @classmethod
    def of(cls, now: datetime) -> Self:
        start = month_of(now)
        return cls(start, start.replace(day=monthrange(start.year, start.month)[1]), now.date())

    @property
    def starts_at(self) -> datetime:
        return datetime.combine(self.start, time(0), UTC)

    @property
    def days_remaining(self) -> int:
        return (self.end - self.today).days

    def projected(self, used: int) -> int:
        """What `used` comes to by the end of the month at this pace; today counts as a day that has passed."""
        return round(used / self.today.day * self.end.day)
