"""What each kind of broker is told."""

import pytest
from django.conf import settings
from kombu.utils.scheduling import cycle_by_name

from config import brokers
from executions.lanes import COUNTDOWN_MAX_S


@pytest.mark.parametrize("url", ["amqp://u:p@host//", "amqps://host/cueapi"])
def test_rabbitmq_confirms_what_is_published(url: str) -> None:
    assert brokers.transport_options(url)["confirm_publish"] is True


@pytest.mark.parametrize("url", ["redis://host/0", "rediss://host/0", "redis+socket:///run/valkey.sock"])
def test_redis_gives_no_message_that_waits_to_another_worker(url: str) -> None:
    assert brokers.transport_options(url)["visibility_timeout"] > 10 * COUNTDOWN_MAX_S


@pytest.mark.parametrize("url", ["amqp://host//", "redis://host/0"])
def test_who_publishes_does_not_wait_for_a_broker_that_is_down(url: str) -> None:
    assert brokers.transport_options(url)["max_retries"] == 0


def test_our_queues_are_classic_and_durable_and_know_priorities() -> None:
    for queue in settings.CELERY_TASK_QUEUES:
        assert (queue.durable, queue.max_priority, queue.queue_arguments) == (
            True,
            brokers.PRIORITIES,
            {"x-queue-type": "classic"},
        )


def test_no_thread_but_the_main_one_sets_the_prefetch() -> None:
    assert settings.CELERY_WORKER_ENABLE_PREFETCH_COUNT_REDUCTION is False


def test_the_queues_are_read_in_order_and_now_and_then_from_the_last() -> None:
    cycle = brokers.MostlyInOrder(["default", "fire", "retries", "deliver"])
    served = []
    for _ in range(24):
        served.append(cycle.consume(4)[0])  # all of them have messages
        cycle.rotate(served[-1])
    assert (served.count("default"), served.count("deliver")) == (21, 3)
    assert served[:7] == ["default"] * 7


def test_the_worker_finds_that_order_by_its_name() -> None:
    assert cycle_by_name(brokers.REDIS["queue_order_strategy"]) is brokers.MostlyInOrder
