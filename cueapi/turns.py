"""Taking turns at writing, within a process. Between processes the database sees to it.

SQLite lets one write at a time; threads that wait for its lock sleep and try again, which is slow and unfair.
PostgreSQL would let them all, but with many transactions open at once their threads wait for Python's lock at each
statement, and all of them take longer. In both cases it is faster to wait here.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

AT_ONCE = 2  # on PostgreSQL; measured: with 4 a worker delivers half as much, with 1 a tenth less
WAIT_MAX_S = 1.0
"""On PostgreSQL, those before may themselves be waiting for a row that somebody else holds for long."""

_turn = threading.RLock()
_turns = threading.BoundedSemaphore(AT_ONCE)


@contextmanager
def taking_turns() -> Iterator[None]:
    """Have a turn for a transaction that starts inside. Does nothing within one."""
    if connection.in_atomic_block:
        yield
    elif connection.vendor == "sqlite":
        with _turn:
            yield
    else:
        has_turn = _turns.acquire(timeout=WAIT_MAX_S)
        try:
            yield
        finally:
            if has_turn:
                _turns.release()
