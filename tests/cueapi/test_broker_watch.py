"""A worker whose broker connection died without a word connects again."""

from types import SimpleNamespace
from typing import Any

import pytest

from cueapi.broker_watch import SILENT_CHECKS, BrokerWatch


class Hub:
    """Celery's event loop, as far as the watch knows it."""

    def __init__(self) -> None:
        self.readers: dict[int, Any] = {7: "a socket"}

    def call_repeatedly(self, every_s: float, check: Any, consumer: Any) -> Any:
        self.look = lambda: check(consumer)
        return SimpleNamespace(cancel=lambda: None)


@pytest.fixture
def hub() -> Hub:
    hub = Hub()
    consumer = SimpleNamespace(hub=hub)
    BrokerWatch(consumer).start(consumer)
    return hub


def test_a_loop_without_a_socket_is_a_lost_connection(hub: Hub) -> None:
    hub.readers.clear()
    for _ in range(SILENT_CHECKS - 1):
        hub.look()
    with pytest.raises(ConnectionError):
        hub.look()


def test_a_moment_without_a_socket_is_none(hub: Hub) -> None:
    for _ in range(3):
        hub.readers.clear()
        for _ in range(SILENT_CHECKS - 1):
            hub.look()
        hub.readers[8] = "another socket"
        hub.look()


def test_a_pool_without_an_event_loop_is_left_alone() -> None:
    consumer = SimpleNamespace(hub=None)
    watch = BrokerWatch(consumer)
    watch.start(consumer)
    watch.stop(consumer)
