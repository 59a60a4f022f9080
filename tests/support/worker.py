"""Running queued tasks in the test itself: real messages from the real broker, one at a time, in order.

What a test sees is then decided by the test, not by a scheduler; real worker processes are for `processes` tests.
"""

from datetime import datetime
from typing import Any

from celery import current_app
from kombu import Connection

from cueapi import clock

QUEUES = ("fire", "deliver", "retries", "default")


class Worker:
    """Runs what is queued. Messages with a countdown wait until `run` is called after their time."""

    def __init__(self, broker_url: str) -> None:
        current_app.loader.import_default_modules()  # registers the tasks, as a worker does at its start
        self._broker_url = broker_url
        self._later: list[tuple[datetime, str, dict[str, Any]]] = []
        self.ran: list[str] = []

    def run(self) -> list[str]:
        """Run everything that is queued or that the running queues; the names of the tasks run, in order."""
        ran: list[str] = []
        while (job := self._next()) is not None:
            name, kwargs = job
            current_app.tasks[name](**kwargs)
            ran.append(name)
        self.ran += ran
        return ran

    def drop(self) -> int:
        """Lose every queued message, as a broker without a disk would; how many there were."""
        lost = len(self._later)
        self._later.clear()
        while self._take() is not None:
            lost += 1
        return lost + len(self._later)

    def waiting(self) -> list[tuple[str, dict[str, Any]]]:
        """The task and arguments of every queued message; they stay queued for `run`."""
        while (message := self._take()) is not None:
            eta, name, kwargs = message
            self._later.append((eta or clock.now(), name, kwargs))
        return [(name, kwargs) for _, name, kwargs in self._later]

    def _next(self) -> tuple[str, dict[str, Any]] | None:
        while (message := self._take()) is not None:
            eta, name, kwargs = message
            if eta is None or eta <= clock.now():
                return name, kwargs
            self._later.append((eta, name, kwargs))
        for job in self._later:
            if job[0] <= clock.now():
                self._later.remove(job)
                return job[1], job[2]
        return None

    def _take(self) -> tuple[datetime | None, str, dict[str, Any]] | None:
        with Connection(self._broker_url) as connection:
            channel = connection.default_channel
            for queue in QUEUES:
                message = channel.basic_get(queue, no_ack=True)
                if message is not None:
                    eta = message.headers.get("eta")
                    _, kwargs, _ = message.decode()
                    return (datetime.fromisoformat(eta) if eta else None), message.headers["task"], kwargs
        return None
