"""How kombu talks to the broker that BROKER_URL names: Redis or Valkey, or RabbitMQ. Figures with their reasons.

What holds for every broker stands in `config.settings`; decision 16 says why RabbitMQ is used as it is.
"""

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

from kombu import Queue

LAST_FIRST_EVERY = 8  # messages


class MostlyInOrder:
    """The queues in their order, and for every eighth message in reverse: no flood of one keeps the others waiting.

    What kombu asks of a `queue_order_strategy`.
    """

    def __init__(self, queues: Sequence[str] = ()) -> None:
        self._queues, self._taken = list(queues), 0

    def update(self, queues: Iterable[str]) -> None:
        self._queues = list(queues)

    def consume(self, n: int) -> list[str]:
        """The queues to ask next; the first that has a message is served."""
        is_last_first = self._taken % LAST_FIRST_EVERY == LAST_FIRST_EVERY - 1
        return self._queues[:n][:: -1 if is_last_first else 1]

    def rotate(self, last_used: str) -> None:
        """One was served."""
        self._taken += 1


REDIS: dict[str, Any] = {
    # How long a message may be out before it is given to another worker: the tasks of a worker that was killed come
    # back after this. It must be far above every countdown (executions.lanes.COUNTDOWN_MAX_S is two minutes), else
    # what waits here runs several times. The sweep finds the rows in seconds, so nothing waits for it.
    "visibility_timeout": 3600,  # seconds
    "unacked_restore_throttle": 1,  # look for a dead worker's messages every 10 s, not every 100 s
    "socket_connect_timeout": 3,
    "socket_timeout": 10,
    "health_check_interval": 10,  # notice a connection that a firewall dropped without a word
    "retry_on_timeout": True,
    "queue_order_strategy": "config.brokers:MostlyInOrder",  # of CELERY_TASK_QUEUES, not in turns (decision 13)
    "max_retries": 0,  # to connect in order to publish: kombu would keep a request waiting for 6 s
}

RABBITMQ: dict[str, Any] = {
    # A publish returns once RabbitMQ has the message; without, one that is lost on a dying connection counts as sent.
    # How long it waits for that, cueapi.queue says.
    "confirm_publish": True,
    "write_timeout": 10,  # seconds; a RabbitMQ that is short of memory or disk reads nothing from publishers
    "max_retries": 0,  # as above
}

PRIORITIES = 9
"""RabbitMQ's levels, of which 9 goes first. Redis has its own, of which 0 goes first."""

# Classic and durable, said aloud because a virtual host may make quorum queues by default. A quorum queue is
# replicated, which a nudge is not worth, and knows neither priorities nor countdowns of less than a second.
QUEUE_ARGUMENTS = {"x-queue-type": "classic"}


def is_rabbitmq(url: str) -> bool:
    return urlsplit(url).scheme in ("amqp", "amqps", "pyamqp")


def transport_options(url: str) -> dict[str, Any]:
    """Celery's `broker_transport_options` for this broker."""
    return RABBITMQ if is_rabbitmq(url) else REDIS


def queue(name: str) -> Queue:
    """A queue of ours. RabbitMQ refuses a queue that exists with other arguments: changing them means a new name."""
    return Queue(name, durable=True, max_priority=PRIORITIES, queue_arguments=QUEUE_ARGUMENTS)
