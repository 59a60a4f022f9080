"""Destinations over HTTP: how they do, the breaker by hand, a rate, and what an execution waits for."""

from datetime import timedelta
from typing import Any

import pytest

from cueapi import clock
from executions import delivery, destinations
from executions.lanes import Lane
from executions.models import Destination, Execution
from executions.states import Status
from tests.support import make
from tests.support.api import Api
from tests.support.envelope import refused
from tests.support.make import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.database]

SOON = timedelta(seconds=30)


@pytest.fixture
def run(api: Api) -> Execution:
    return make.execution(make.cue(api.account, next_run=None))


def destination(api: Api, run: Execution, **columns: Any) -> Destination:
    return Destination.objects.create(account=api.account, lane=run.lane, **columns)


def listed(api: Api) -> list[dict[str, Any]]:
    answer = api.get("/v1/destinations")
    assert answer.status_code == 200, answer.content
    assert answer.json()["total"] == len(answer.json()["destinations"])
    return list(answer.json()["destinations"])


def taken(run: Execution) -> int:
    return len(delivery.take(Lane.of(run), now=clock.now() + SOON).deliveries)


def test_a_destination_shows_its_state_its_work_and_its_figures(api: Api, run: Execution) -> None:
    make.execution(run.cue, status=Status.RETRYING, attempts=1)
    make.execution(run.cue, status=Status.DELIVERING, attempts=1, last_attempt_at=clock.now())
    made = destination(api, run, recent=[[10, 1], [20, 1], [30, 1], [400, 0]], rate_per_minute=60)
    assert listed(api) == [
        {
            "id": str(made.pk),
            "destination": run.lane,
            "state": "closed",
            "reason": None,
            "opened_at": None,
            "next_probe_at": None,
            "opened_by_hand": False,
            "failures_in_a_row": 0,
            "requests_at_a_time": destinations.limits().concurrency,
            "rate_per_minute": 60,
            "waiting": 2,
            "in_flight": 1,
            "success_rate": 0.75,
            "latency_ms": {"p50": 20, "p95": 400},
            "attempts_seen": 4,
        }
    ]


def test_one_that_was_never_tried_has_no_figures(api: Api, run: Execution) -> None:
    destination(api, run)
    (only,) = listed(api)
    assert (only["success_rate"], only["latency_ms"], only["attempts_seen"]) == (None, {"p50": None, "p95": None}, 0)


def test_those_in_trouble_come_first_then_those_with_most_to_do(api: Api, run: Execution) -> None:
    destination(api, run)
    for lane, state in (("https://a:443", "closed"), ("https://z:443", "open")):
        Destination.objects.create(account=api.account, lane=lane, state=state)
    assert [one["destination"] for one in listed(api)] == ["https://z:443", run.lane, "https://a:443"]


def test_an_open_one_says_why_and_when_it_is_asked_again(api: Api, run: Execution) -> None:
    destination(api, run, state="open", reason="refused", failures=10, opened_at=NOW, probe_at=NOW + SOON)
    (only,) = listed(api)
    assert (only["state"], only["reason"], only["failures_in_a_row"]) == ("open", "refused", 10)
    assert (only["opened_at"], only["next_probe_at"]) == ("2031-05-04T09:00:00Z", "2031-05-04T09:00:30Z")
    assert (only["opened_by_hand"], only["requests_at_a_time"]) == (False, 0)


def test_nothing_goes_out_to_one_opened_by_hand_until_it_is_closed_by_hand(api: Api, run: Execution) -> None:
    path = f"/v1/destinations/{destination(api, run).pk}"
    Execution.objects.update(due_at=clock.now())
    opened = api.post(f"{path}/open").json()
    assert (opened["state"], opened["opened_by_hand"], opened["next_probe_at"]) == ("open", True, None)
    assert (opened["reason"], opened["waiting"], opened["requests_at_a_time"]) == ("opened by hand", 1, 0)
    assert taken(run) == 0
    closed = api.post(f"{path}/close").json()
    assert (closed["state"], closed["reason"], closed["requests_at_a_time"]) == ("closed", None, 1)
    assert taken(run) == 1


def test_opening_twice_and_closing_twice_is_as_once(api: Api, run: Execution) -> None:
    path = f"/v1/destinations/{destination(api, run).pk}"
    assert api.post(f"{path}/open").json() == api.post(f"{path}/open").json()
    assert api.post(f"{path}/close").json() == api.post(f"{path}/close").json()


def test_closing_a_healthy_one_does_not_slow_it_down(api: Api, run: Execution) -> None:
    made = destination(api, run)
    assert api.post(f"/v1/destinations/{made.pk}/close").json()["requests_at_a_time"] > 1


def test_a_rate_holds_from_the_next_attempt_on_and_goes_with_null(api: Api, run: Execution) -> None:
    path = f"/v1/destinations/{destination(api, run).pk}"
    make.execution(run.cue)
    Execution.objects.update(due_at=clock.now())
    assert api.patch(path, {"rate_per_minute": 1}).json()["rate_per_minute"] == 1
    assert taken(run) == 1
    assert taken(run) == 0
    assert api.patch(path, {"rate_per_minute": None}).json()["rate_per_minute"] is None
    assert taken(run) == 1


@pytest.mark.parametrize("rate", [0, -1, 1.5, "60", 1_000_001, True])
def test_a_rate_that_is_none_is_refused(api: Api, run: Execution, rate: object) -> None:
    path = f"/v1/destinations/{destination(api, run).pk}"
    refused(api.patch(path, {"rate_per_minute": rate}), 422, "validation_error")
    refused(api.patch(path, {}), 422, "validation_error")
    assert Destination.objects.get().rate_per_minute is None


def test_an_execution_says_which_destination_it_waits_for(api: Api, run: Execution) -> None:
    assert api.get(f"/v1/executions/{run.pk}").json()["waits_for"] is None
    destination(api, run, state="open", reason="The receiver answered 503.", probe_at=NOW)
    assert api.get(f"/v1/executions/{run.pk}").json()["waits_for"] == {
        "destination": run.lane,
        "state": "open",
        "reason": "The receiver answered 503.",
        "next_probe_at": "2031-05-04T09:00:00Z",
    }
    Execution.objects.update(status=Status.SUCCESS, due_at=None, closed_at=NOW)
    assert api.get(f"/v1/executions/{run.pk}").json()["waits_for"] is None


def test_the_list_is_the_callers_own(api: Api, stranger: Api, run: Execution) -> None:
    destination(api, run)
    assert stranger.get("/v1/destinations").json() == {"destinations": [], "total": 0}
