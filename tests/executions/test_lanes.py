"""Handing work out: one destination per message, fifty at most, and a broker that refuses is not forgotten."""

import pytest

from executions import lanes
from executions.models import Execution
from executions.states import Status
from tests.support import make
from tests.support.broker import broker_down
from tests.support.make import NOW

pytestmark = [pytest.mark.django_db]


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """What Celery was asked to send: the broker's side of `publish`."""
    sent: list[dict] = []
    monkeypatch.setattr(
        "celery.app.base.Celery.send_task", lambda self, name, **options: sent.append({"name": name, **options})
    )
    return sent


def test_a_message_names_executions_of_one_lane_fifty_at_most(messages, django_capture_on_commit_callbacks) -> None:
    cue = make.cue(make.account())
    ids = [make.execution(cue).pk for _ in range(70)]
    work = [("a" if index % 7 else "b", pk) for index, pk in enumerate(ids)]
    with django_capture_on_commit_callbacks(execute=True):
        lanes.hand_out(work, now=NOW)
        assert messages == []  # nothing before the commit
    batches = [(m["kwargs"]["lane"], len(m["kwargs"]["execution_ids"]), m["queue"]) for m in messages]
    assert sorted(batches) == [("a", 10, "deliver"), ("a", 50, "deliver"), ("b", 10, "deliver")]
    named = {text for m in messages for text in m["kwargs"]["execution_ids"]}
    assert named == set(map(str, ids))


def test_a_message_holds_ids_and_no_secret(messages, django_capture_on_commit_callbacks) -> None:
    execution = make.execution(make.cue(make.account(), payload={"card": "4111"}, callback_headers={"A": "token"}))
    with django_capture_on_commit_callbacks(execute=True):
        lanes.hand_out([("lane", execution.pk)], queue=lanes.RETRIES, countdown_s=9, now=NOW)
    (message,) = messages
    assert message["kwargs"] == {"lane": "lane", "execution_ids": [str(execution.pk)]}
    assert (message["name"], message["queue"], message["countdown"]) == ("executions.deliver", "retries", 9)


@pytest.mark.django_db(transaction=True)
def test_what_the_broker_did_not_take_is_marked_as_not_queued() -> None:
    execution = make.execution(make.cue(make.account()), queued_at=NOW)
    with broker_down():
        lanes.hand_out([("lane", execution.pk)], now=NOW)
    assert Execution.objects.get().queued_at is None


def test_the_cap_counts_what_is_in_flight_for_each_account(settings) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"max_concurrent_deliveries_per_user": 3})
    ada, bob = make.cue(make.account()), make.cue(make.account("bob@example.org"))
    for _ in range(2):
        make.execution(ada, status=Status.DELIVERING)
    hers = [make.execution(ada) for _ in range(3)]
    his = [make.execution(bob) for _ in range(4)]
    taken = lanes.within_account_cap([*hers, *his])
    assert taken == [hers[0], *his[:3]]
