"""Handing work to Celery: by task name, only once the transaction commits, and never at the caller's expense.

A message is a nudge. When the broker is down it is dropped with a log line, and the sweep finds the row.
"""

import logging
import time
from functools import lru_cache
from typing import Any

from amqp.exceptions import AMQPError
from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

log = logging.getLogger(__name__)

CONFIRMED_WITHIN_S = 3.0  # by RabbitMQ; a message that it takes later than that counts as not taken, and does no harm
ONCE_MORE = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}
"""A kept connection may have died with the broker of yesterday: the second try opens another."""
ASKED_EVERY_S = 2.0  # whether the broker answers; a connection to RabbitMQ is not cheap


def enqueue(task: str, *, queue: str, countdown_s: float = 0, expires_s: float | None = None, **kwargs: Any) -> None:
    """Queue `task` with these keyword arguments after the present transaction commits, or now if there is none."""
    transaction.on_commit(
        lambda: publish(task, queue=queue, countdown_s=countdown_s, expires_s=expires_s, kwargs=kwargs)
    )


def publish(
    task: str,
    *,
    queue: str,
    kwargs: dict[str, Any],
    countdown_s: float = 0,
    expires_s: float | None = None,
    priority: int | None = None,
) -> bool:
    """Queue `task` now. False when the broker did not take it."""
    try:
        current_app.send_task(
            task,
            kwargs=kwargs,
            queue=queue,
            countdown=countdown_s or None,
            expires=expires_s,
            priority=priority,
            ignore_result=True,
            retry=True,
            retry_policy=ONCE_MORE,
            confirm_timeout=CONFIRMED_WITHIN_S,
        )
    except (OperationalError, OSError, AMQPError) as error:
        log.warning("queue.publish_failed", extra={"task": task, "queue": queue, "error": str(error)})
        return False
    return True


def broker_answers() -> bool:
    """Whether the broker takes a connection, or took one a moment ago. Needs up to three seconds where it hangs."""
    return _connects(current_app.conf.broker_write_url, int(time.monotonic() / ASKED_EVERY_S))


@lru_cache(maxsize=2)
def _connects(url: str, moment: int) -> bool:
    try:
        with current_app.connection_for_write(url) as connection:
            connection.connect()
    except Exception as error:  # each transport has its own, and of whatever kind: it does not answer
        log.debug("queue.broker_silent", extra={"error": str(error)})
        return False
    return True
