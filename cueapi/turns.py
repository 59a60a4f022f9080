"""Taking turns at writing, on SQLite: threads that wait for its lock sleep and try again, which is slow and unfair.

Between processes that is how it is. Within one, threads with much to write wait here instead, and go on at once.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

_turn = threading.RLock()


@contextmanager
def taking_turns() -> Iterator[None]:
    """Have the turn for a transaction that starts inside. Does nothing on PostgreSQL, and within a transaction."""
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        yield
        return
    with _turn:
        yield
