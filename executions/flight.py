"""Requests of one lane in flight from this process: a few threads send what was claimed and gather what comes back.

Whoever drains the lane waits for results here, a moment at a time. When it leaves, what is still on its way reports to
another: `overdue`.
"""

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from weakref import WeakSet

from executions.transports.webhook import Delivery, Result

log = logging.getLogger(__name__)

Send = Callable[[Delivery], Result]


class Threads:
    """Threads that are started as needed, kept for the next job, and not waited for when the process ends."""

    def __init__(self, name: str, at_most: int) -> None:
        self._name, self._at_most = name, at_most
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._started = self._unfinished = 0

    def run(self, job: Callable[[], None]) -> None:
        with self._changed:
            self._unfinished += 1
            start = self._started < min(self._unfinished, self._at_most)
            self._started += start
            name = f"{self._name}-{self._started}"
        self._jobs.put(job)
        if start:
            threading.Thread(target=self._work, name=name, daemon=True).start()

    def wait(self, timeout_s: float) -> bool:
        """Until every job has ended; False when they take longer."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._unfinished, timeout_s)

    def _work(self) -> None:
        while True:
            self._do(self._jobs.get())

    def _do(self, job: Callable[[], None]) -> None:
        try:
            job()
        except Exception:  # the thread is for the other jobs too
            log.exception("thread.job_crashed", extra={"by": threading.current_thread().name})
        finally:
            with self._changed:
                self._unfinished -= 1
                self._changed.notify_all()


class Flight:
    """One lane's requests. `overdue` is given each result that comes after `leave`, in the thread that has it."""

    everyone: "WeakSet[Flight]" = WeakSet()

    def __init__(self, threads: Threads, send: Send, overdue: Callable[[Result], None]) -> None:
        self._threads, self._send, self._overdue = threads, send, overdue
        self._changed = threading.Condition()
        self._todo: deque[Delivery] = deque()
        self._flying: list[Delivery] = []
        self._landed: list[Result] = []
        self._senders = 0
        self._left = False
        Flight.everyone.add(self)

    @property
    def count(self) -> int:
        """Claimed and not landed."""
        return len(self._todo) + len(self._flying)

    @property
    def held(self) -> int:
        """Claimed, and not yet given out to be recorded: to others they are still under way."""
        with self._changed:
            return self.count + len(self._landed)

    @property
    def unsent(self) -> int:
        return len(self._todo)

    def add(self, deliveries: Sequence[Delivery], senders: int) -> None:
        """Send these, so many at a time."""
        with self._changed:
            self._todo.extend(deliveries)
            more = min(senders, self.count) - self._senders
            self._senders += max(0, more)
        for _ in range(more):
            self._threads.run(self._send_all)

    def wait(self, timeout_s: float) -> list[Result]:
        """What has landed once everything has, or after so long."""
        with self._changed:
            self._changed.wait_for(lambda: not self.count, timeout_s)
            landed, self._landed = self._landed, []
        return landed

    def leave(self) -> tuple[list[Delivery], list[Result]]:
        """Stop waiting: what was not sent, and what has landed. The rest goes to `overdue`."""
        with self._changed:
            self._left = True
            unsent, landed = list(self._todo), self._landed
            self._todo.clear()
            self._landed = []
        return unsent, landed

    def still_flying(self) -> list[Delivery]:
        with self._changed:
            return list(self._flying)

    def _send_all(self) -> None:
        while (delivery := self._next()) is not None:
            self._land(delivery, self._send(delivery))

    def _next(self) -> Delivery | None:
        with self._changed:
            if not self._todo:
                self._senders -= 1
                return None
            self._flying.append(self._todo.popleft())
            return self._flying[-1]

    def _land(self, delivery: Delivery, result: Result) -> None:
        with self._changed:
            self._flying.remove(delivery)
            late = self._left
            if not late:
                self._landed.append(result)
            if not self.count:
                self._changed.notify_all()
        if late:
            self._overdue(result)
