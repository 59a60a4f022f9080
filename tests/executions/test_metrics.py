"""`/metrics`: what an operator's Prometheus sees of beat and workers, of the work that waits, and of what was done."""

import json
import re
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from prometheus_client.parser import text_string_to_metric_families

from cueapi import clock, liveness, tally
from cueapi.liveness import BeatCycle
from cueapi.volatile import store
from executions import closing, delivery, figures, metrics, recovery
from executions.lanes import Lane
from executions.models import Destination, Execution
from executions.states import Status
from tests.support import make
from tests.support.api import Api
from tests.support.make import NOW
from tests.support.printed import ROOT
from tests.support.receiver import Answer, Receiver

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def samples_of(text: str) -> dict[str, float]:
    """Each figure by its name and, where it has one, its label."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {" ".join([sample.name, *sample.labels.values()]): sample.value for sample in samples}


def at(now: Any) -> dict[str, float]:
    return samples_of(metrics.text(now=now).decode())


def test_a_beat_that_hangs_shows_in_its_age(anyone: Api) -> None:
    liveness.beat_lives("host:1", BeatCycle(NOW.timestamp() - 2, cues=0, duration_ms=4))
    liveness.beat_lives("host:2", BeatCycle(NOW.timestamp() - 95, cues=0, duration_ms=8))
    found = at(NOW)
    assert found["cueapi_beat_last_cycle_age_seconds host:1"] == pytest.approx(2)
    assert found["cueapi_beat_last_cycle_age_seconds host:2"] == pytest.approx(95)
    assert found["cueapi_beat_cycle_seconds host:2"] == pytest.approx(0.008)
    assert (found["cueapi_beats ok"], found["cueapi_beats silent"]) == (1, 1)


def test_cues_that_nobody_fires_show_in_their_number_and_age() -> None:
    owner = make.account()
    assert (at(NOW)["cueapi_cues_due"], at(NOW)["cueapi_cues_due_oldest_seconds"]) == (0, 0)
    make.cue(owner), make.cue(owner, next_run=NOW + timedelta(seconds=60))
    later = at(NOW + timedelta(seconds=90))
    assert (later["cueapi_cues_due"], later["cueapi_cues_due_oldest_seconds"]) == (2, 90)


def test_the_work_that_waits_is_counted_as_in_health() -> None:
    make.execution(make.cue(make.account(), transport="worker"))
    assert at(NOW)["cueapi_executions_waiting pending_worker_claims"] == 1


def test_anyone_may_ask_unless_there_is_a_token(anyone: Api, settings: Any) -> None:
    answer = anyone.get("/metrics")
    assert (answer.status_code, answer["Content-Type"].partition(";")[0]) == (200, "text/plain")
    assert samples_of(answer.content.decode())["cueapi_database_up"] == 1
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"metrics_token": "scrape me"})
    assert [Api(key).get("/metrics").status_code for key in (None, "wrong", "scrape me")] == [401, 401, 200]


def test_the_text_names_no_account() -> None:
    make.cue(make.account("ada@example.org"))
    assert "ada" not in metrics.text(now=clock.now()).decode()


# --- What was done ----------------------------------------------------------------------------------------------


@pytest.fixture
def nothing_counted() -> None:
    tally.send()  # what earlier tests counted
    store().delete(tally.KEY)


def counted(now: Any = NOW) -> dict[str, float]:
    tally.send()
    return at(now)


@pytest.mark.django_db(transaction=True)
def test_deliveries_and_ends_are_counted_with_their_times(nothing_counted: None, receiver: Receiver) -> None:
    cue = make.recurring(make.account(), callback_url=receiver.url, max_attempts=1)
    receiver.will_answer(Answer(500))
    run = make.execution(cue, scheduled_for=clock.now() - timedelta(seconds=3), due_at=clock.now())
    delivery.drain(Lane.of(run))
    found = counted()
    assert (found["cueapi_deliveries_total 5xx"], found["cueapi_executions_ended_total failed"]) == (1, 1)
    late = {le: found[f"cueapi_delivery_lateness_seconds_bucket {le}"] for le in ("2.5", "1800.0", "+Inf")}
    assert late == {"2.5": 0, "1800.0": 1, "+Inf": 1}
    assert found["cueapi_delivery_lateness_seconds_sum"] >= 3
    assert found["cueapi_delivery_duration_seconds_count"] == 1


@pytest.mark.django_db(transaction=True)
def test_what_is_rolled_back_is_not_counted(nothing_counted: None) -> None:
    run = make.execution(make.cue(make.account()))
    with pytest.raises(ValueError, match="no"), transaction.atomic():
        closing.close(run, Status.FAILED, reason="a test", now=NOW)
        raise ValueError("no")
    assert counted()["cueapi_executions_ended_total failed"] == 0
    run.refresh_from_db()
    closing.close(run, Status.FAILED, reason="a test", now=NOW)
    assert counted()["cueapi_executions_ended_total failed"] == 1


def test_sweeps_count_what_they_find(nothing_counted: None) -> None:
    recovery._run("end_leases", lambda now: 3, NOW)
    assert counted()["cueapi_sweep_found_total end_leases"] == 3


def test_counts_of_many_threads_add_up_and_cost_one_call(nothing_counted: None) -> None:
    threads = [threading.Thread(target=figures.swept, args=("x", 1)) for _ in range(20)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    tally.send()
    assert tally.read()["swept"]["x"] == 20


def test_a_store_that_is_down_loses_counts_and_nothing_else(nothing_counted: None, settings: Any) -> None:
    there = settings.CUEAPI
    settings.CUEAPI = there.model_copy(update={"redis_url": "unix:///nowhere/valkey.sock"})
    figures.swept("x", 1)
    tally.send()
    assert at(NOW)["cueapi_volatile_store_up"] == 0
    settings.CUEAPI = there
    assert tally.read() == {}


def test_worker_processes_show_with_the_age_of_their_last_sign() -> None:
    stopped = threading.Event()
    stopped.set()
    liveness.leave_signs_of_worker(stopped)  # leaves a sign and, as it stops at once, takes it away
    assert store().hlen(liveness.WORKERS_KEY) == 0
    store().hset(liveness.WORKERS_KEY, mapping={"a:1": NOW.timestamp() - 2, "b:2": NOW.timestamp() - 90, "c:3": 0})
    found = at(NOW)
    assert (found["cueapi_worker_processes ok"], found["cueapi_worker_processes silent"]) == (1, 1)
    assert found["cueapi_worker_last_sign_age_seconds b:2"] == pytest.approx(90)
    assert store().hlen(liveness.WORKERS_KEY) == 2


def test_the_backlog_is_told_by_the_breaker_of_its_lane() -> None:
    owner = make.account()
    for number in range(3):
        make.execution(make.cue(owner, lane=f"https://{min(number, 1)}.example:443"))
    Destination.objects.create(account=owner, lane="https://1.example:443", state="open")
    found = at(NOW)
    assert (found["cueapi_backlog_executions open"], found["cueapi_backlog_executions closed"]) == (2, 1)
    assert (found["cueapi_destinations open"], found["cueapi_destinations closed"]) == (1, 0)
    assert Execution.objects.count() == 3


def test_each_metric_of_the_dashboard_exists(nothing_counted: None) -> None:
    dashboard = json.loads((ROOT / "deploy/grafana/cueapi.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    named = {name for one in expressions for name in re.findall(r"cueapi_\w+", one)}
    families = list(text_string_to_metric_families(metrics.text(now=NOW).decode()))
    known = {family.name + end for family in families for end in ENDS[family.type]}
    assert named - known == set()
    assert len(named) > 15


ENDS = {"gauge": [""], "counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
