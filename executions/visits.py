"""One visit to a lane at a time in a process: whoever comes meanwhile leaves word, and the visitor looks once more.

Two threads at one lane would share its room, claim less at a time, and wait for each other's locks.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from executions.lanes import Lane


class Visit:
    """A stay at a lane."""

    def __init__(self) -> None:
        self._called = False

    def call(self) -> None:
        """There may be more work than the visitor has seen."""
        self._called = True

    def was_called(self) -> bool:
        """Whether anybody called since this was last asked. Look after asking, not before."""
        if not self._called:
            return False
        self._called = False
        return True


class Visits:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[Lane, Visit] = {}

    @contextmanager
    def to(self, lane: Lane) -> Iterator[Visit | None]:
        """The visit to this lane, or None where one is under way; its visitor is called then."""
        visit = self._begin(lane)
        try:
            yield visit
        finally:
            if visit:
                self._end(lane)

    def _begin(self, lane: Lane) -> Visit | None:
        with self._lock:
            if lane in self._under_way:
                self._under_way[lane].call()
                return None
            return self._under_way.setdefault(lane, Visit())

    def _end(self, lane: Lane) -> None:
        with self._lock:
            del self._under_way[lane]
