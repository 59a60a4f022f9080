"""A raw limit: a Celery task that does nothing, in a worker like ours: `celery -A tests.proofs.empty_task worker`."""

import os
import time
from collections.abc import Sequence

import redis
from celery import Celery

BROKER = os.environ.get("EMPTY_TASK_BROKER", "redis://")


def kombu_url(url: str) -> str:
    """As kombu spells it; a socket's URL differs from Redis's."""
    return url.replace("unix://", "redis+socket://")


TIMES = "empty-task-times"  # a list of [seconds from publishing to running]

app = Celery("empty_task", broker=kombu_url(BROKER), set_as_current=False)  # a test process has another
app.conf.update(task_ignore_result=True, task_acks_late=True, worker_prefetch_multiplier=1)


@app.task
def tell(sent_at: float) -> None:
    """Nothing, and say how long that took to come."""
    with redis.Redis.from_url(BROKER) as store:
        store.rpush(TIMES, time.time() - sent_at)


def told(store: "redis.Redis", count: int, within_s: float) -> Sequence[float]:
    """The milliseconds of so many `tell`s, in order."""
    until = time.monotonic() + within_s
    while store.llen(TIMES) < count and time.monotonic() < until:
        time.sleep(0.01)
    found = [float(text) * 1000 for text in store.lrange(TIMES, 0, -1)]
    store.delete(TIMES)
    return sorted(found)
