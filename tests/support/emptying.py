"""Emptying a test database on SQLite, where it is done with DELETE, which triggers of the audit trail refuse.

PostgreSQL truncates, which they do not see.
"""

from collections.abc import Sequence
from typing import Any

from django.db import connection
from django.db.backends.sqlite3.base import DatabaseOperations

TRIGGERS = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
stock_flush = DatabaseOperations.sql_flush


def allow() -> None:
    """Have each emptying drop the triggers first and make them anew at its end, in one transaction."""
    DatabaseOperations.sql_flush = _flush  # type: ignore[method-assign]


def _flush(self: DatabaseOperations, style: Any, tables: Sequence[str], **options: Any) -> list[str]:
    deletions: list[str] = stock_flush(self, style, tables, **options)
    with connection.cursor() as cursor:
        triggers = cursor.execute(TRIGGERS).fetchall()
    return [*(f'DROP TRIGGER "{name}"' for name, _ in triggers), *deletions, *(sql for _, sql in triggers)]
