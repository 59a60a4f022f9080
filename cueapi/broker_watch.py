"""Notices a broker connection that died without a word, and has the worker connect again.

With a pool of threads, a message may be acknowledged in a thread at the moment the broker dies. The transport then
drops the dead sockets there, the worker's event loop never sees an error, and it waits for ever on no socket at all.
"""

import logging
from typing import Any

from celery import bootsteps

log = logging.getLogger(__name__)

CHECK_EVERY_S = 1.0
SILENT_CHECKS = 3  # in a row; while it connects, a healthy worker has no socket for a moment


class BrokerWatch(bootsteps.StartStopStep):
    """A step of the consumer: raises a connection error, which makes the consumer start again."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        self.timer: Any = None
        self.silent = 0

    def start(self, consumer: Any) -> None:
        self.silent = 0
        if consumer.hub is not None:
            self.timer = consumer.hub.call_repeatedly(CHECK_EVERY_S, self.check, consumer)

    def stop(self, consumer: Any) -> None:
        if self.timer is not None:
            self.timer.cancel()

    def check(self, consumer: Any) -> None:
        self.silent = 0 if consumer.hub.readers else self.silent + 1
        if self.silent >= SILENT_CHECKS:
            log.warning("broker.connection_lost")
            raise ConnectionError("The event loop has no socket left.")
