"""Small versions of the proofs in `tests.proofs`, with real processes: nothing is lost, early, or done twice."""

import random
from collections import Counter
from collections.abc import Iterator
from functools import partial

import pytest

from tests.proofs import beats, bench, bench_pages, bench_scheduler, first_webhook, herd, kill, minute
from tests.proofs.client import Client, running
from tests.proofs.sink import sinks
from tests.support.deadline import eventually
from tests.support.processes import Installation
from tests.support.receiver import Answer, Received, Receiver

pytestmark = pytest.mark.processes

STOPPED_SHARE = 5  # requests that have come when the worker is asked to stop
RUN_NOW = {"type": "one-time", "at": None}


@pytest.fixture(scope="module")
def it() -> Iterator[Installation]:
    """All processes, up; each test leaves them up."""
    with running(kill.SHORTENED) as installation:
        yield installation


@pytest.fixture
def client(it: Installation) -> Iterator[Client]:
    with Client(it) as client:
        yield client


@pytest.mark.parametrize("victim", ["worker", "broker"])
def test_a_kill_in_the_middle_loses_nothing_and_doubles_nothing(it: Installation, client: Client, victim: str) -> None:
    found = kill.prove(it, client, victim=victim, executions=60)

    assert found.faults() == []


def test_cues_that_are_due_at_one_instant_fire_once_each_and_not_before(client: Client, receiver: Receiver) -> None:
    seen = minute.prove_once(client, receiver, cues=20)

    assert (len(seen.lateness_ms), seen.duplicates, seen.missing, seen.stray) == (20, 0, 0, 0)
    assert seen.lateness_ms[0] >= 0


def test_the_first_webhook_comes_soon_and_is_signed(client: Client, receiver: Receiver) -> None:
    firsts = first_webhook.measure(client, receiver, cues=3)

    assert [first.is_signed for first in firsts] == [True] * 3


def test_a_worker_asked_to_stop_records_what_is_in_flight_and_the_next_does_the_rest(
    it: Installation, client: Client, receiver: Receiver
) -> None:
    receiver.default = answer_slowly
    cues = {client.create_cue(f"stop-{n}", RUN_NOW, receiver.url)["id"] for n in range(25)}
    receiver.wait_for(STOPPED_SHARE)

    status = it.stop("worker")
    stopped = Counter(life.status for life in kill.lives_in_database(it, cues).values())
    it.start("worker")
    for cue_id in cues:
        eventually(partial(minute.is_completed, client, cue_id), within_s=30, what=f"{cue_id} being completed")

    assert (status, stopped["delivering"]) == (0, 0)
    assert max(Counter(map(kill.attempt_of, receiver.received)).values()) == 1
    assert {kill.attempt_of(received)[1] for received in receiver.received} == {1}


def answer_slowly(received: Received) -> Answer:
    return kill.after(0.5, Answer())


def test_killing_beats_again_and_again_misses_nothing_and_doubles_nothing(it: Installation, client: Client) -> None:
    found = beats.prove(it, client, kills=4, rng=random.Random(3))
    it.stop("beat-2")

    assert found.faults() == []
    assert found.windows > 10


def test_a_herd_is_fired_once_each_and_for_its_time(receiver: Receiver) -> None:
    with Installation() as fresh:
        fresh.start("broker")
        seen = herd.prove(fresh, receiver, cues=300)

    assert (len(seen.made_ms), seen.doubled, seen.wrong) == (300, 0, 0)


def test_calls_and_a_burst_are_measured_and_nothing_is_lost_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "RAW_POSTS", 100)
    monkeypatch.setattr(bench, "LEAD_S", 8)
    with sinks(3) as sink, bench.fresh("sqlite") as it:
        calls = list(bench.api(it, 0.3))
        figures = {line.what: line for line in bench.burst(it, sink, size=60, workers=1)}

    assert [line.ratio and line.ratio > 0 for line in calls] == [True] * 3
    assert figures["Burst of 60 over 3 destinations"].ratio
    assert figures["Burst of 60 over 3 destinations: not received, recorded too often"].figure == "0, 0"


def test_every_page_of_a_filled_installation_is_there_with_few_queries() -> None:
    assert bench_pages.main(["--cues", "300", "--executions", "4000", "--took-max-ms", "60000"]) == 0


def test_beat_is_measured_with_many_cues() -> None:
    figures = bench_scheduler.measure("sqlite", 3000, seconds=5)

    assert figures.fired > 0
    assert figures.cues == 3000
    assert bench_scheduler.growth(figures, figures) == []
