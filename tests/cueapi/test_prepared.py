"""Statements that are written once: the same answers as Django's own, for any values, in any thread."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from django.db import connection
from django.db.models import CharField, DateTimeField, F, IntegerField, UUIDField
from django.test.utils import CaptureQueriesContext

from cueapi.models import Account, MonthlyUsage
from cueapi.prepared import InsertFrom, Instances, Select, Update, given
from tests.support import make
from tests.support.together import at_once

pytestmark = [pytest.mark.django_db, pytest.mark.database]

IDS = given("ids", UUIDField(), many=True)


def by_ids() -> Select:
    return Select(lambda: Account.objects.filter(pk__among=IDS).order_by("email").values_list("pk", "webhook_secret"))


def test_rows_are_what_django_makes_of_them_secrets_opened() -> None:
    one, two, _ = (make.account(f"{name}@example.org") for name in "abc")
    assert by_ids().rows(ids=[two.pk, one.pk]) == [(one.pk, one.webhook_secret), (two.pk, two.webhook_secret)]


@pytest.mark.parametrize("count", [0, 1, 700])
def test_one_statement_serves_collections_of_every_size(count: int) -> None:
    account, statement = make.account(), by_ids()
    with CaptureQueriesContext(connection) as queries:
        statement.rows(ids=[])
        found = statement.rows(ids=[account.pk][:count] + [uuid4() for _ in range(count)])
    assert [pk for pk, _ in found] == [account.pk][:count]
    assert len(queries) == 2


def test_instances_have_all_columns_or_read_what_they_lack_when_asked() -> None:
    account = make.account()
    by_email = {"email": given("email", CharField())}
    whole = Instances(Account, lambda: Account.objects.filter(**by_email))
    part = Instances(Account, lambda: Account.objects.filter(**by_email), "id", "plan")
    with CaptureQueriesContext(connection) as queries:
        found = whole.first(email=account.email)
        assert (found, found and found.webhook_secret) == (account, account.webhook_secret)
    assert len(queries) == 1
    (partly,) = part.all(email=account.email)
    assert partly.get_deferred_fields() and partly.webhook_secret == account.webhook_secret
    assert whole.first(email="nobody") is None


def test_an_update_says_how_many_rows_it_changed() -> None:
    account = make.account()
    statement = Update(
        lambda: Account.objects.filter(email=given("email", CharField())),
        rate_limit_per_minute=F("rate_limit_per_minute") + given("more", IntegerField()),
    )
    before = account.rate_limit_per_minute
    assert [statement.run(email=account.email, more=3), statement.run(email="nobody", more=3)] == [1, 0]
    assert statement.run(email=account.email, more=4) == 1
    account.refresh_from_db()
    assert account.rate_limit_per_minute == before + 7


def test_rows_are_made_from_what_a_query_finds() -> None:
    accounts = [make.account(f"{name}@example.org") for name in "ab"]
    values = ("pk", given("month", DateTimeField()), given("count", IntegerField()))
    columns = ["account_id", "month", "executions"]
    statement = InsertFrom(MonthlyUsage, columns, lambda: Account.objects.filter(pk__among=IDS).values_list(*values))
    statement.run(ids=[accounts[0].pk], month=datetime(2031, 5, 1, tzinfo=UTC), count=3)
    assert list(MonthlyUsage.objects.values_list("account", "executions")) == [(accounts[0].pk, 3)]


@pytest.mark.django_db(transaction=True)
def test_many_threads_may_be_the_first_to_use_it() -> None:
    account = make.account()
    for _ in range(10):
        statement = by_ids()
        answers = at_once([lambda: statement.rows(ids=[account.pk])] * 8)  # noqa: B023
        assert answers == [[(account.pk, account.webhook_secret)]] * 8
