"""The user's first page: each figure is the length of the list that it leads to; and how far a list was searched."""

from datetime import timedelta
from typing import Any

import pytest

from cueapi import clock
from cueapi.models import Account
from executions import rollup
from executions.failures import ErrorClass
from executions.models import Alert, Destination, Execution
from executions.states import BreakerState, Status, Trigger
from tests.support import make
from tests.support.api import Api
from tests.support.pages import Browser

pytestmark = [pytest.mark.django_db, pytest.mark.database]

MINUTE = timedelta(minutes=1)


@pytest.fixture
def account(api: Api) -> Account:
    assert api.account
    return api.account


@pytest.fixture
def browser(account: Account) -> Browser:
    return Browser(account)


def ended(owner: Account, status: Status, ago: timedelta, **columns: Any) -> Execution:
    at = clock.now() - ago
    bad = {} if status == Status.SUCCESS else {"error_class": ErrorClass.HTTP_5XX}
    return make.execution(make.cue(owner, next_run=None), status=status, created_at=at, closed_at=at, **bad | columns)


def length(browser: Browser, url: str) -> int:
    context = browser.get(url).context
    return len(context["rows"] if "rows" in context else context["sheet"].rows)


def test_each_figure_is_the_length_of_its_list(browser: Browser, account: Account) -> None:
    for status in (Status.SUCCESS, Status.SUCCESS, Status.FAILED, Status.MISSED):
        ended(account, status, 3 * MINUTE)
    ended(account, Status.FAILED, timedelta(days=9))
    ended(make.account("mallory@example.org"), Status.FAILED, 3 * MINUTE)
    ended(account, Status.FAILED, 3 * MINUTE, handled_at=clock.now(), handled_by="ada")
    cue = make.cue(account, next_run=None)
    for status in (Status.RETRYING, Status.PENDING_OUTCOME, Status.PENDING_OUTCOME):
        make.execution(cue, status=status, due_at=clock.now() + MINUTE)
    Alert.objects.create(account=account, alert_type="consecutive_failures", message="3 in a row", created_at=make.NOW)
    while rollup.count(now=clock.now()):
        pass
    shown = browser.get("/").context["glance"]
    found = {name: length(browser, url) for name, url in shown.lists.items() if name not in ("cues", "destinations")}
    seen = shown.overview
    assert found["executions"] == seen.ended == 5
    assert found["dead"] == seen.ended_badly == 3
    assert (found["retrying"], found["awaited"]) == (seen.retrying, seen.awaited) == (1, 2)
    assert found["alerts"] == seen.alerts == 1
    bars = [column for column in shown.chart.columns if column.bar.total]
    assert [length(browser, column.url) for column in bars] == [column.bar.total for column in bars]


def test_late_is_what_waits_with_nothing_in_its_way(browser: Browser, account: Account) -> None:
    late = make.execution(make.cue(account, next_run=None), due_at=clock.now() - MINUTE)
    make.execution(late.cue, due_at=clock.now() + MINUTE)
    held = make.cue(account, next_run=None, callback_url="http://127.0.0.1:10/hook")
    make.execution(held, due_at=clock.now() - MINUTE)
    Destination.objects.create(account=account, lane=held.lane, state=BreakerState.OPEN)
    shown = browser.get("/").context["glance"]
    sheet = browser.get(shown.lists["waiting"]).context["sheet"]
    assert [run.pk for run in sheet.rows] == [late.pk]
    assert shown.overview.waiting == 1


def test_a_search_that_finds_few_says_how_far_it_looked_and_goes_on(
    browser: Browser, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cueapi.keyset.sheet.__kwdefaults__", {"position": "", "within": None, "reach": 3})
    cue = make.cue(account, next_run=None)
    runs = [make.execution(cue, created_at=make.NOW + n * MINUTE) for n in range(8)]
    Execution.objects.filter(pk__in=[runs[6].pk, runs[0].pk]).update(triggered_by=Trigger.REPLAY)
    pages = ["/executions?trigger=replay"]
    found = []
    while pages[-1]:
        context = browser.get(pages[-1]).context
        found += [run.pk for run in context["sheet"].rows]
        assert (context["sheet"].looked_until is not None) == bool(context["older"])
        pages.append(f"/executions{context['older']}" if context["older"] else "")
    assert found == [runs[6].pk, runs[0].pk]
    assert "This looked as far as" in browser.text("/executions", trigger="replay")
    assert "This looked as far as" not in browser.text("/executions")


def test_the_admin_says_how_far_it_looked_for_what_no_index_finds(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executions.admin.executions.REACH", 3)
    cue = make.cue(account, next_run=None)
    for n in range(8):
        make.execution(cue, created_at=make.NOW + n * MINUTE, triggered_by=Trigger.REPLAY)
    root = Browser(Account.objects.create_superuser("root@example.org", "only-for-this-test"))
    path = "/admin/executions/execution/"
    answer = root.client.get(path, {"triggered_by__exact": "replay"})
    assert (answer.context["cl"].result_count, "looked through the newest" in answer.content.decode()) == (4, True)
    of_cue = {"q": cue.pk, "triggered_by__exact": "replay"}
    assert root.client.get(path, of_cue).context["cl"].result_count == 8
