"""Counting a month's use, the grace at its limit and the refusal after it (contract 8.2)."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import connection
from django.test.utils import CaptureQueriesContext

from cueapi import usage
from cueapi.models import Account, MonthlyUsage
from cueapi.usage import GRACE, Month, Share
from tests.support import make
from tests.support.make import NOW
from tests.support.together import at_once
from tests.support.worker import Worker

pytestmark = [pytest.mark.django_db, pytest.mark.database]

MINUTE = timedelta(minutes=1)
JUNE = datetime(2031, 6, 1, tzinfo=UTC)


@pytest.fixture
def limited() -> Account:
    return make.account(monthly_execution_limit=3)


def use(account: Account, count: int = 1, now: datetime = NOW) -> None:
    usage.add({account: count}, now=now)


def reached_at(account: Account, now: datetime = NOW) -> datetime | None:
    return MonthlyUsage.objects.get(account=account, month=date(now.year, now.month, 1)).limit_reached_at


def is_refused(account: Account, now: datetime) -> bool:
    return usage.is_refused(Account.objects.get(pk=account.pk), now=now)


def queries_of(call: Any) -> int:
    with CaptureQueriesContext(connection) as queries:
        call()
    return len(queries)


def test_the_grace_starts_with_the_attempt_that_reaches_the_limit(limited: Account) -> None:
    use(limited, 2)
    assert reached_at(limited) is None
    use(limited, now=NOW + MINUTE)
    assert reached_at(limited) == NOW + MINUTE


def test_attempts_go_on_for_a_day_and_are_then_refused(limited: Account) -> None:
    use(limited, 5)
    assert not is_refused(limited, NOW + GRACE - timedelta(microseconds=1))
    use(limited, now=NOW + GRACE - MINUTE)
    assert is_refused(limited, NOW + GRACE)
    assert is_refused(limited, datetime(2031, 5, 31, 23, 59, 59, tzinfo=UTC))


def test_the_grace_starts_once_a_month_and_the_next_month_is_a_new_one(limited: Account) -> None:
    use(limited, 3)
    use(limited, 3, now=NOW + 2 * GRACE)
    assert reached_at(limited) == NOW
    assert not is_refused(limited, JUNE)
    use(limited, 3, now=JUNE)
    assert (reached_at(limited), reached_at(limited, JUNE)) == (NOW, JUNE)


def test_a_larger_plan_is_open_at_once_and_brings_no_second_grace(limited: Account) -> None:
    use(limited, 3)
    Account.objects.update(monthly_execution_limit=5)
    assert not is_refused(limited, NOW + 2 * GRACE)
    use(limited, 2, now=NOW + 2 * GRACE)
    assert is_refused(limited, NOW + 2 * GRACE)


@pytest.mark.parametrize("limit", [0, 1_000_000_000])
def test_an_account_without_a_limit_is_never_refused_and_costs_no_query(limit: int) -> None:
    account = make.account(monthly_execution_limit=limit)
    use(account, 1_000_000)
    assert reached_at(account) is None
    assert queries_of(lambda: usage.refused_among([account], now=NOW + 2 * GRACE)) == 0
    assert queries_of(lambda: usage.is_near_limit(account, now=NOW)) == 0
    assert not usage.is_refused(account, now=NOW + 2 * GRACE)


def test_many_accounts_are_looked_up_in_one_query() -> None:
    accounts = [make.account(f"a{n}@example.org", monthly_execution_limit=3) for n in range(4)]
    usage.add({account: n + 1 for n, account in enumerate(accounts)}, now=NOW)
    later = NOW + GRACE
    assert usage.refused_among(accounts, now=later) == {account.pk for account in accounts[2:]}
    assert queries_of(lambda: usage.refused_among(accounts, now=later)) == 1


def test_enforcement_can_be_switched_off(limited: Account, settings: Any) -> None:
    use(limited, 3)
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"disable_quota_enforcement": True})
    assert not is_refused(limited, NOW + 2 * GRACE)
    assert not usage.is_near_limit(limited, now=NOW)
    other = make.account("bob@example.org", monthly_execution_limit=1)
    use(other)
    assert reached_at(other) is None


@pytest.mark.parametrize(("used", "near"), [(7, False), (8, True), (10, True)])
def test_near_is_four_fifths_of_the_limit(used: int, near: bool) -> None:
    account = make.account(monthly_execution_limit=10)
    use(account, used)
    assert usage.is_near_limit(account, now=NOW) is near


@pytest.mark.django_db(transaction=True)
def test_of_many_that_reach_the_limit_at_once_each_counts_and_one_mail_goes_out(worker: Worker) -> None:
    account = make.account(monthly_execution_limit=10)
    assert at_once([lambda n=n: use(account, now=NOW + n * MINUTE) for n in range(20)]) == [None] * 20
    assert usage.this_month(account.pk, now=NOW) == 20
    assert reached_at(account) is not None
    worker.run()
    (message,) = mail.outbox
    assert (message.to, "limit is reached" in message.subject) == (["ada@example.org"], True)
    assert "24 hours" in message.body


# --- In figures -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("used", "limit", "remaining", "percent", "percentage"),
    [(127, 300, 173, 42, 42.3), (0, 300, 300, 0, 0.0), (301, 300, 0, 100, 100.3), (5, 0, 0, 0, 0.0)],
)
def test_a_share_is_rounded_and_never_negative(
    used: int, limit: int, remaining: int, percent: int, percentage: float
) -> None:
    share = Share(used, limit)
    assert (share.remaining, share.percent_used, share.percentage) == (remaining, percent, percentage)


@pytest.mark.parametrize(
    ("day", "end", "days_remaining", "projected"),
    [
        (datetime(2031, 5, 1, tzinfo=UTC), date(2031, 5, 31), 30, 310),
        (datetime(2031, 5, 31, 23, 59, tzinfo=UTC), date(2031, 5, 31), 0, 10),
        (datetime(2032, 2, 10, tzinfo=UTC), date(2032, 2, 29), 19, 29),
        (datetime(2031, 12, 31, tzinfo=UTC), date(2031, 12, 31), 0, 10),
    ],
)
def test_a_month_ends_on_its_last_day(day: datetime, end: date, days_remaining: int, projected: int) -> None:
    month = Month.of(day)
    assert (month.start, month.end, month.days_remaining) == (date(day.year, day.month, 1), end, days_remaining)
    assert month.projected(10) == projected
