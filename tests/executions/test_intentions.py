"""What the buttons of a cue say they would do, held against what the services then do."""

from datetime import timedelta
from typing import Any

import pytest

from cueapi import clock
from cueapi.clock import utc_text
from cues import services
from cues.models import Cue, CueStatus
from executions import intentions, workers
from executions.intentions import Intention
from executions.models import Execution
from tests.support.admin import down, fired, recurring
from tests.support.api import Api

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.fixture
def hooks(resolver: dict[str, list[str]]) -> dict[str, str]:
    resolver["hooks.example.org"] = ["93.184.215.14"]
    return {"url": "https://hooks.example.org/digest"}


def make(api: Api, hooks: dict[str, str], **fields: Any) -> Cue:
    return recurring(api, "told", **{"callback": hooks, **fields})


def told(cue: Cue) -> dict[str, Intention]:
    fresh = services.find(cue.account, cue.pk)
    return {intention.action: intention for intention in intentions.of(fresh, now=clock.now())}


def overlapping(overlap: str) -> dict[str, str]:
    return {"type": "recurring", "cron": "0 9 * * 1", "overlap": overlap}


def test_fire_says_where_it_sends(api: Api, hooks: dict[str, str]) -> None:
    sentence = told(make(api, hooks))["fire"].sentence
    assert sentence == "Makes one execution beside the schedule, sent to https://hooks.example.org:443 at once."


def test_fire_says_that_a_destination_that_is_down_holds_it_up(api: Api, hooks: dict[str, str]) -> None:
    cue = make(api, hooks)
    destination = down(cue)
    assert f"waits until the circuit breaker of {cue.lane} answers again" in told(cue)["fire"].sentence
    destination.probe_at = None
    destination.save()
    assert "is closed by hand" in told(cue)["fire"].sentence


def test_fire_says_what_the_rate_of_the_cue_does(api: Api, hooks: dict[str, str]) -> None:
    cue = make(api, hooks, delivery={"rate_per_minute": 6})
    assert "as its rate of 6 attempts a minute allows" in told(cue)["fire"].sentence


def test_fire_says_whether_a_worker_is_there(api: Api) -> None:
    cue = recurring(api, "pulled", transport="worker", callback=None)
    assert "waits for a worker: none is alive now" in told(cue)["fire"].sentence
    workers.heartbeat(cue.account, "host-1", now=clock.now())
    assert "for a worker to claim at once" in told(cue)["fire"].sentence


@pytest.mark.parametrize(("overlap", "meanwhile"), [("skip", "are skipped"), ("queue", "wait")])
def test_fire_says_that_it_waits_for_nothing_and_what_windows_do_meanwhile(
    overlap: str, meanwhile: str, api: Api, hooks: dict[str, str]
) -> None:
    cue = make(api, hooks, schedule=overlapping(overlap))
    fired(cue)
    sentence = told(cue)["fire"].sentence
    assert "It does not wait for the execution that has not ended" in sentence
    assert f"windows of the schedule {meanwhile}" in sentence
    assert not fired(cue).is_held


def test_a_cue_that_asks_for_a_payload_cannot_be_fired_from_a_page(api: Api, hooks: dict[str, str]) -> None:
    intention = told(make(api, hooks, require_payload_override=True))["fire"]
    assert not intention.is_possible
    assert "payload_override" in intention.sentence and "/fire" in intention.sentence


def test_pause_names_the_run_that_will_not_happen_and_what_goes_on(api: Api, hooks: dict[str, str]) -> None:
    cue = make(api, hooks)
    fired(cue)
    sentence = told(cue)["pause"].sentence
    assert f"The next run, at {utc_text(cue.next_run)}, does not happen." in sentence
    assert "A pause does not stop the execution that has not ended." in sentence
    fired(cue)
    assert "A pause does not stop the 2 executions that have not ended." in told(cue)["pause"].sentence


def test_pausing_a_one_shot_says_what_decides_once_its_time_has_passed(api: Api, hooks: dict[str, str]) -> None:
    at = (clock.now() + timedelta(hours=1)).isoformat()
    cue = make(api, hooks, schedule={"type": "once", "at": at})
    assert "catch_up (run_once_if_missed) decides" in told(cue)["pause"].sentence


def test_many_open_executions_are_counted_up_to_a_hundred(
    api: Api, hooks: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intentions, "COUNTED_MAX", 2)
    cue = make(api, hooks)
    for _ in range(4):
        fired(cue)
    assert "the more than 2 executions that have not ended" in told(cue)["pause"].sentence


def test_resume_tells_the_next_run_that_it_then_gives(api: Api, hooks: dict[str, str]) -> None:
    cue = make(api, hooks)
    api.post(f"/v1/cues/{cue.pk}/pause")
    actions = told(cue)
    assert set(actions) == {"fire", "resume"}
    resumed = services.update(cue.account, cue.pk, {"status": "active"}, now=clock.now())
    assert f"The next run is at {utc_text(resumed.next_run)}." in actions["resume"].sentence


def test_a_one_shot_that_cannot_be_resumed_says_why(api: Api, hooks: dict[str, str]) -> None:
    at = (clock.now() + timedelta(hours=1)).isoformat()
    cue = make(api, hooks, schedule={"type": "once", "at": at}, catch_up="skip_missed")
    api.post(f"/v1/cues/{cue.pk}/pause")
    Cue.objects.filter(pk=cue.pk).update(at=clock.now() - timedelta(minutes=1))
    resume = told(cue)["resume"]
    assert not resume.is_possible
    assert "The time of this one-shot has passed" in resume.sentence


@pytest.mark.parametrize("status", [CueStatus.COMPLETED, CueStatus.FAILED])
def test_a_cue_that_is_done_can_only_be_fired(status: CueStatus, api: Api, hooks: dict[str, str]) -> None:
    cue = make(api, hooks)
    Cue.objects.filter(pk=cue.pk).update(status=status, next_run=None)
    assert set(told(cue)) == {"fire"}


def test_to_say_it_changes_nothing(api: Api, hooks: dict[str, str]) -> None:
    cue = make(api, hooks)
    told(cue)
    cue.refresh_from_db()
    assert (cue.status, Execution.objects.count()) == ("active", 0)
