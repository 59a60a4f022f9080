"""`/metrics`: what an operator's Prometheus sees of beat and of the work that waits."""

from datetime import timedelta
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cueapi import clock, liveness
from cueapi.liveness import BeatCycle
from executions import metrics
from tests.support import make
from tests.support.api import Api
from tests.support.make import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def figures(text: str) -> dict[str, float]:
    """Each figure by its name and, where it has one, its label."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {" ".join([sample.name, *sample.labels.values()]): sample.value for sample in samples}


def at(now: Any) -> dict[str, float]:
    return figures(metrics.text(now=now).decode())


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
    assert figures(answer.content.decode())["cueapi_database_up"] == 1
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"metrics_token": "scrape me"})
    assert [Api(key).get("/metrics").status_code for key in (None, "wrong", "scrape me")] == [401, 401, 200]


def test_the_text_names_no_account() -> None:
    make.cue(make.account("ada@example.org"))
    assert "ada" not in metrics.text(now=clock.now()).decode()
