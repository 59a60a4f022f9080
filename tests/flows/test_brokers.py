"""The same stories on PostgreSQL with Valkey, Redis and RabbitMQ as the broker: nothing is lost, nothing is done twice.

`make test-brokers` runs these; they take minutes and want servers that not every machine has.
"""

from collections.abc import Iterator

import pytest

from tests.proofs import kill, rolling
from tests.proofs.client import Client, running
from tests.support.brokers import BROKERS
from tests.support.deadline import eventually
from tests.support.processes import Installation
from tests.support.receiver import Answer, Receiver

pytestmark = [pytest.mark.processes, pytest.mark.brokers]

RUN_NOW = {"type": "one-time", "at": None}
WAIT_S = 2


@pytest.fixture(scope="module", params=list(BROKERS))
def it(request: pytest.FixtureRequest) -> Iterator[Installation]:
    """All processes, up; each test leaves them up."""
    broker = BROKERS[request.param]()
    if broker.missing:
        pytest.skip(broker.missing)
    with running(kill.PATIENT, postgres=True, broker=broker) as installation:
        yield installation


@pytest.fixture
def client(it: Installation) -> Iterator[Client]:
    with Client(it) as client:
        yield client


def test_messages_alone_fire_deliver_and_retry_at_its_time(
    it: Installation, client: Client, receiver: Receiver
) -> None:
    it.stop("beat")  # and with it the sweep, which would make good for a message that is lost or late
    receiver.will_answer(Answer(503, headers={"Retry-After": str(WAIT_S)}), Answer(200))

    cue = client.create_cue("retried", RUN_NOW, receiver.url, retry={"max_attempts": 3, "backoff_minutes": [0]})
    first, second = receiver.wait_for(2)
    it.start("beat")
    eventually(lambda: client.get(f"/v1/cues/{cue['id']}")["status"] == "completed", what="the cue being completed")

    assert [kill.attempt_of(received)[1] for received in (first, second)] == [1, 2]
    assert WAIT_S <= (second.at - first.at).total_seconds() < WAIT_S + 2


@pytest.mark.parametrize("victim", ["worker", "broker"])
def test_a_kill_in_the_middle_loses_nothing_and_doubles_nothing(it: Installation, client: Client, victim: str) -> None:
    found = kill.prove(it, client, victim=victim, executions=60)

    assert found.faults() == []


def test_a_rolling_restart_under_load_loses_nothing_and_doubles_nothing(it: Installation, client: Client) -> None:
    found = rolling.prove(it, client, executions=300)
    it.stop("worker-2")

    assert found.faults() == []
    assert found.longest_stop_s < 10


def test_health_tells_how_the_broker_does(it: Installation, client: Client) -> None:
    assert client.get("/health")["services"]["broker"] == "ok"
    it.kill("broker")
    eventually(lambda: client.get("/health")["services"]["broker"] == "error", within_s=20, what="health telling")
    it.start("broker")
    eventually(lambda: client.get("/health")["services"]["broker"] == "ok", within_s=20, what="health telling")
