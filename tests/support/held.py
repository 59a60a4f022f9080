"""Rows that another connection has, as a request or a delivery would."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper

needs_row_locks = pytest.mark.skipif(
    "not __import__('django.db').db.connection.features.has_select_for_update_skip_locked",
    reason="SQLite has no row locks: its writers take turns",
)


@contextlib.contextmanager
def held_elsewhere(table: str, column: str, value: Any) -> Iterator[BaseDatabaseWrapper]:
    """Until the end, which rolls back what the other connection did."""
    other = connection.copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute(f"SELECT 1 FROM {table} WHERE {column} = %s FOR UPDATE", [value])
            assert cursor.fetchall()
        yield other
    finally:
        other.rollback()
        other.close()


WAITS_HERE = """
SELECT count(*) FROM pg_locks AS missing JOIN pg_locks AS other USING (pid)
WHERE NOT missing.granted AND other.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""  # what is waited for is a transaction, which names no database; pg_stat_activity stands still in a transaction


def somebody_waits_for_a_row() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(WAITS_HERE)
        (count,) = cursor.fetchone()
        return bool(count)
