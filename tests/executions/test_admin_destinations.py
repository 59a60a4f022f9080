"""Destinations in the admin: read, opened, closed and paced, each after a question; and what an execution waits for."""

import re
from datetime import timedelta
from typing import Any

import pytest

from cueapi import clock
from executions import delivery
from executions.lanes import Lane
from executions.models import Destination, Execution
from executions.states import Status
from tests.support import make
from tests.support.admin import Admin, list_url, page_url, staff, superuser
from tests.support.make import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.fixture
def root(db: None) -> Admin:
    return superuser()


@pytest.fixture
def run() -> Execution:
    return make.execution(make.cue(make.account(), next_run=None))


@pytest.fixture
def healthy(run: Execution) -> Destination:
    return Destination.objects.create(account_id=run.account_id, lane=run.lane)


def down(run: Execution, **columns: Any) -> Destination:
    columns = {"state": "open", "reason": "refused", "opened_at": NOW, "probe_at": NOW + timedelta(minutes=1)} | columns
    return Destination.objects.create(account_id=run.account_id, lane=run.lane, **columns)


def confirmed(root: Admin, action: str, *rows: Destination, **extra: str) -> str:
    return root.act(action, *rows, confirmed="yes", **extra)


def found(root: Admin, **query: str) -> list[Destination]:
    return list(root.client.get(list_url(Destination), query).context["cl"].result_list)


# --- What is shown ----------------------------------------------------------------------------------------------


def test_the_list_shows_how_each_stands_and_what_waits_for_it(root: Admin, run: Execution) -> None:
    make.execution(run.cue, status=Status.RETRYING, attempts=1)
    make.execution(run.cue, status=Status.SUCCESS)
    down(run, rate_per_minute=77)
    page = root.text(list_url(Destination))
    for said in (run.lane, "refused", "2031-05-04 09:00:00 UTC", "2031-05-04 09:01:00 UTC", ">77<"):
        assert said in page
    assert re.search(r"field-backlog[^>]*>\s*(<[^>]*>\s*)*2\b", page)


def test_those_in_trouble_come_first(root: Admin, run: Execution) -> None:
    for lane, state in (("https://a:443", "closed"), ("https://b:443", "half_open"), ("https://c:443", "open")):
        Destination.objects.create(account_id=run.account_id, lane=lane, state=state)
    assert [one.state for one in found(root)] == ["open", "half_open", "closed"]


def test_they_are_filtered_by_state_and_by_rate(root: Admin, run: Execution) -> None:
    broken = down(run)
    paced = Destination.objects.create(account_id=run.account_id, lane="https://paced:443", rate_per_minute=6)
    assert found(root, state__exact="open") == [broken]
    assert found(root, rate="yes") == [paced]
    assert found(root, rate="no") == [broken]


def test_the_page_of_one_shows_its_latest_attempts(root: Admin, run: Execution) -> None:
    page = root.text(page_url(down(run, recent=[[10, 1], [400, 0]])))
    assert "10 ms" in page
    assert "400 ms" in page


def test_a_destination_can_be_neither_made_changed_nor_deleted(root: Admin, healthy: Destination) -> None:
    url = page_url(healthy)
    assert root.client.get(f"{list_url(Destination)}add/").status_code == 403
    assert root.client.post(url, {"state": "open"}).status_code == 403
    assert root.client.post(url.replace("change/", "delete/"), {"post": "yes"}).status_code == 403
    healthy.refresh_from_db()
    assert healthy.state == "closed"


# --- By hand ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["open_breaker", "close_breaker", "set_pace"])
def test_nothing_changes_before_it_is_confirmed(action: str, root: Admin, run: Execution) -> None:
    row = down(run, rate_per_minute=6)
    page = root.act(action, row)
    assert 'name="confirmed" value="yes"' in page
    assert row.lane in page
    row.refresh_from_db()
    assert (row.state, row.probe_at, row.rate_per_minute) == ("open", NOW + timedelta(minutes=1), 6)


def test_one_is_opened_until_it_is_closed(root: Admin, healthy: Destination) -> None:
    page = confirmed(root, "open_breaker", healthy)
    assert "Breakers opened: 1." in page
    healthy.refresh_from_db()
    assert healthy.breaker.is_open_by_hand
    assert "Breakers closed: 1." in confirmed(root, "close_breaker", healthy)
    healthy.refresh_from_db()
    assert healthy.state == "closed"


def test_a_pace_is_set_and_taken_away(root: Admin, healthy: Destination) -> None:
    assert "Paces set: 1." in confirmed(root, "set_pace", healthy, rate_per_minute="60")
    healthy.refresh_from_db()
    assert healthy.rate_per_minute == 60
    confirmed(root, "set_pace", healthy, rate_per_minute="")
    healthy.refresh_from_db()
    assert healthy.rate_per_minute is None


@pytest.mark.parametrize("rate", ["0", "-1", "x", "1000001", "1.5"])
def test_a_pace_that_is_none_is_asked_for_again(rate: str, root: Admin, healthy: Destination) -> None:
    assert 'name="rate_per_minute"' in confirmed(root, "set_pace", healthy, rate_per_minute=rate)
    healthy.refresh_from_db()
    assert healthy.rate_per_minute is None


def test_a_button_asks_and_returns_to_its_page(root: Admin, healthy: Destination) -> None:
    assert 'name="from_page" value="1"' in root.act("open_breaker", healthy, from_page="1")
    data = {"action": "open_breaker", "_selected_action": str(healthy.pk), "index": "0", "confirmed": "yes"}
    answer = root.client.post(list_url(Destination), {**data, "from_page": "1"})
    assert (answer.status_code, answer["Location"]) == (302, page_url(healthy))


def test_a_page_offers_what_makes_sense(root: Admin, healthy: Destination) -> None:
    page = root.text(page_url(healthy))
    assert ('value="open_breaker"' in page, 'value="close_breaker"' in page) == (True, False)
    confirmed(root, "open_breaker", healthy)
    page = root.text(page_url(healthy))
    assert ('value="open_breaker"' in page, 'value="close_breaker"' in page) == (False, True)


def test_who_may_only_look_changes_nothing(healthy: Destination) -> None:
    helper = staff("view_destination")
    assert 'value="open_breaker"' not in helper.text(page_url(healthy))
    confirmed(helper, "open_breaker", healthy)
    healthy.refresh_from_db()
    assert healthy.state == "closed"


# --- What an execution waits for --------------------------------------------------------------------------------


def test_an_execution_says_that_it_waits_for_its_destination(root: Admin, run: Execution) -> None:
    row = down(run)
    said = f"{run.lane}, which is open: refused; asked again at 2031-05-04 09:01:00 UTC"
    assert said in root.text(page_url(run))
    confirmed(root, "open_breaker", row)
    assert f"{run.lane}, which is open: opened by hand; until it is closed by hand" in root.text(page_url(run))


def test_an_execution_says_that_it_waits_for_its_cues_rate(root: Admin) -> None:
    cue = make.cue(make.account(), next_run=None, rate_per_minute=1)
    make.execution(cue)
    make.execution(cue)
    delivery.take(Lane(cue.account_id, cue.lane), now=NOW)
    waiting = Execution.objects.get(status=Status.PENDING)
    until = f"{NOW + timedelta(seconds=61) + clock.SKEW:%Y-%m-%d %H:%M:%S} UTC"
    assert f"rate of 1 a minute, until {until}" in root.text(page_url(waiting))
