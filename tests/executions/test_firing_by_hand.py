"""Manual fire, idempotency and replay: executions beside the schedule (contract 3.6 and 5.12)."""

from datetime import timedelta

import pytest

from cueapi.errors import BadRequest, Conflict, InvalidPayload
from cues.models import Cue
from cues.services import CueNotFound
from executions import delivery, firing, outcomes
from executions.firing import ManualFire
from executions.lanes import Lane
from executions.models import Execution
from executions.states import Status
from tests.support import make
from tests.support.api import Api
from tests.support.make import NOW
from tests.support.receiver import Receiver
from tests.support.together import at_once

pytestmark = [pytest.mark.django_db, pytest.mark.database]

HOUR = timedelta(hours=1)


@pytest.mark.parametrize("status", ["active", "paused", "completed", "failed"])
def test_fire_works_in_every_status_and_changes_none(status: str) -> None:
    next_run = NOW + HOUR if status == "active" else None
    cue = make.cue(make.account(), status=status, at=NOW + HOUR, next_run=next_run)
    execution = firing.fire(cue, ManualFire(), now=NOW)
    assert (execution.triggered_by, execution.status, execution.due_at) == ("manual_fire", "pending", NOW)
    cue.refresh_from_db()
    assert (cue.status, cue.next_run, cue.fired_count) == (status, next_run, 0)


def test_a_manual_fire_of_a_future_one_shot_leaves_its_own_run(receiver: Receiver) -> None:
    cue = make.cue(make.account(), callback_url=receiver.url, at=NOW + HOUR, next_run=NOW + HOUR)
    by_hand = firing.fire(cue, ManualFire(), now=NOW)
    delivery.drain(Lane.of(by_hand), tick=lambda: NOW)
    cue.refresh_from_db()
    assert (cue.status, cue.next_run) == ("active", NOW + HOUR)
    assert firing.fire_due([cue.pk], now=NOW + HOUR) == 1
    delivery.drain(Lane.of(by_hand), tick=lambda: NOW + HOUR)
    cue.refresh_from_db()
    assert (cue.status, len(receiver.received)) == ("completed", 2)


@pytest.mark.parametrize(
    ("order", "payload"),
    [
        ({}, {"a": 1, "b": {"c": 2}}),
        ({"payload_override": {}}, {"a": 1, "b": {"c": 2}}),
        ({"payload_override": {"a": 9, "b": {}}}, {"a": 9, "b": {}}),
        ({"payload_override": {"x": 1}, "merge_strategy": "replace"}, {"x": 1}),
        ({"payload_override": {}, "merge_strategy": "replace"}, {}),
        ({"merge_strategy": "replace"}, {"a": 1, "b": {"c": 2}}),
    ],
)
def test_the_effective_payload(order: dict, payload: dict) -> None:
    cue = make.cue(make.account(), payload={"a": 1, "b": {"c": 2}})
    assert firing.fire(cue, ManualFire(**order), now=NOW).payload == payload
    assert Cue.objects.get().payload == {"a": 1, "b": {"c": 2}}


def test_required_payload_keys_count_after_merging() -> None:
    cue = make.cue(make.account(), payload={"a": 1}, required_payload_keys=["a", "b"])
    firing.fire(cue, ManualFire(payload_override={"b": None}), now=NOW)
    for order in (ManualFire(), ManualFire(payload_override={"b": 1}, merge_strategy="replace")):
        with pytest.raises(BadRequest) as refusal:
            firing.fire(cue, order, now=NOW)
        assert refusal.value.code == "missing_required_payload_keys"
    assert Execution.objects.count() == 1


def test_a_cue_may_require_an_override() -> None:
    cue = make.cue(make.account(), require_payload_override=True)
    with pytest.raises(BadRequest) as refusal:
        firing.fire(cue, ManualFire(), now=NOW)
    assert refusal.value.code == "payload_override_required"
    assert firing.fire(cue, ManualFire(payload_override={}), now=NOW).payload == {}


def test_the_merged_payload_obeys_the_size_limit() -> None:
    cue = make.cue(make.account(), payload={"a": "x" * 600_000})
    with pytest.raises(InvalidPayload) as refusal:
        firing.fire(cue, ManualFire(payload_override={"b": "x" * 600_000}), now=NOW)
    assert refusal.value.code == "invalid_payload_size"


def test_a_fire_for_later_is_not_delivered_before(receiver: Receiver) -> None:
    cue = make.cue(make.account(), callback_url=receiver.url, next_run=None)
    execution = firing.fire(cue, ManualFire(send_at=NOW + HOUR), now=NOW)
    assert (execution.scheduled_for, execution.due_at) == (NOW + HOUR, NOW + HOUR)
    delivery.drain(Lane.of(execution), tick=lambda: NOW + HOUR - timedelta(seconds=1))
    assert receiver.received == []
    delivery.drain(Lane.of(execution), tick=lambda: NOW + HOUR)
    assert len(receiver.received) == 1


def test_a_past_send_at_means_now_and_two_equal_ones_are_two_executions() -> None:
    cue = make.cue(make.account())
    assert firing.fire(cue, ManualFire(send_at=NOW - HOUR), now=NOW).scheduled_for == NOW
    pair = [firing.fire(cue, ManualFire(send_at=NOW + HOUR), now=NOW) for _ in range(2)]
    assert len({execution.pk for execution in pair}) == 2


def order(key: str = "k1", **body: object) -> ManualFire:
    return ManualFire(idempotency_key=key, body={"idempotency_key": key, **body})


def test_the_same_key_and_body_give_the_first_execution_for_a_day() -> None:
    cue = make.cue(make.account())
    first = firing.fire(cue, order(x=1, y=2), now=NOW)
    day = timedelta(hours=24)
    assert firing.fire(cue, order(y=2, x=1), now=NOW + day - timedelta(seconds=1)) == first
    assert firing.fire(cue, order(x=1, y=2), now=NOW + day) != first
    assert firing.fire(make.cue(cue.account), order(x=1, y=2), now=NOW) != first


def test_the_same_key_with_another_body_is_refused() -> None:
    cue = make.cue(make.account())
    firing.fire(cue, order(x=1), now=NOW)
    with pytest.raises(Conflict) as refusal:
        firing.fire(cue, order(x=2), now=NOW)
    assert refusal.value.code == "idempotency_key_conflict"
    assert Execution.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_one_key_used_many_times_at_once_fires_once() -> None:
    cue = make.cue(make.account())
    fired = at_once([lambda: firing.fire(cue, order(x=1), now=NOW).pk] * 8)
    assert len(set(fired)) == 1
    assert Execution.objects.count() == 1


def test_firing_or_replaying_a_cue_that_was_deleted_meanwhile_is_a_404() -> None:
    cue = make.cue(make.account())
    ended = make.execution(cue, status=Status.FAILED)
    Execution.objects.all().delete()
    Cue.objects.all().delete()
    for again in (lambda: firing.fire(cue, ManualFire(), now=NOW), lambda: firing.replay(ended, now=NOW)):
        with pytest.raises(CueNotFound):
            again()


@pytest.mark.parametrize("status", ["success", "failed", "missed", "outcome_timeout"])
def test_a_replay_repeats_the_original(status: str) -> None:
    cue = make.cue(make.account(), payload={"now": "edited"})
    original = make.execution(cue, status=status, payload={"a": 1}, exit_criteria=["done"])
    replay = firing.replay(original, now=NOW + HOUR)
    assert (replay.payload, replay.exit_criteria, replay.replayed_from) == ({"a": 1}, ["done"], original)
    assert (replay.triggered_by, replay.status, replay.due_at) == ("replay", "pending", NOW + HOUR)


@pytest.mark.parametrize("status", ["pending", "delivering", "retrying", "retry_ready", "pending_outcome"])
def test_an_execution_in_flight_is_not_replayed(status: str) -> None:
    with pytest.raises(firing.ExecutionInFlight):
        firing.replay(make.execution(make.cue(make.account()), status=status), now=NOW)


def test_the_fire_call_refuses_bad_shapes(api: Api) -> None:
    cue = make.cue(api.account)
    for body in (
        {"send_at": "soon"},
        {"merge_strategy": "deep"},
        {"payload_override": []},
        {"idempotency_key": "k" * 257},
        {"exit_criteria": ["x"] * 21},
    ):
        assert api.post(f"/v1/cues/{cue.pk}/fire", body).status_code == 422, body
    assert not Execution.objects.exists()


def test_a_repeated_call_gives_the_first_execution_even_when_the_cue_asks_for_more_since() -> None:
    cue = make.cue(make.account())
    first = firing.fire(cue, order(), now=NOW)
    cue.required_payload_keys = ["task"]
    cue.save()
    assert firing.fire(cue, order(), now=NOW) == first


def test_a_replay_is_judged_by_what_the_original_was_judged_by() -> None:
    cue = make.recurring(make.account(), required_assertions=["a"])
    original = make.execution(cue, status=Status.SUCCESS)
    outcomes.report(cue.account, original.pk, {"success": True, "assertions": {"a": True}}, now=NOW)
    Cue.objects.update(required_assertions=["b"])
    replayed = firing.replay(Execution.objects.select_related("cue").get(pk=original.pk), now=NOW)
    outcomes.report(cue.account, replayed.pk, {"success": True, "assertions": {"a": True}}, now=NOW)
    assert Execution.objects.get(pk=replayed.pk).outcome_state == "reported_success"


@pytest.mark.parametrize("send_at", ["", " "])
def test_an_empty_time_is_no_time(api: Api, send_at: str) -> None:
    path = f"/v1/cues/{make.recurring(api.account).pk}/fire"
    assert api.post(path, {"send_at": send_at}).status_code == 422
    assert not Execution.objects.exists()


def test_a_key_is_taken_as_it_is(api: Api) -> None:
    path = f"/v1/cues/{make.recurring(api.account).pk}/fire"
    assert {api.post(path, {"idempotency_key": key}).status_code for key in ("k ", "k")} == {200}
    assert Execution.objects.count() == 2
