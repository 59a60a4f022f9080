"""Recurring cues by the million, made in the database by the database: copies of one that the API made.

Each is due every 100 minutes, at a second of its own, so that 1 % are due within any minute; its periodic task has one
of many crontabs, as in an installation that has grown.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import psycopg

EVERY_S = 6000
CRONTABS_MAX = 100_000
TABLES = ("cues_cue", "cues_definition", "django_celery_beat_periodictask", "django_celery_beat_crontabschedule")


class Database(Protocol):
    """The few things that the two databases spell differently."""

    def run(self, sql: str, values: Sequence[Any] = ()) -> None: ...
    def columns(self, table: str) -> list[str]: ...
    def instant(self, expression: str) -> str:
        """SQL for a stored instant, from an expression for Unix seconds."""


@dataclass
class Postgres:
    connection: psycopg.Connection[Any]

    def run(self, sql: str, values: Sequence[Any] = ()) -> None:
        self.connection.execute(sql.replace("%", "%%").replace("?", "%s").encode(), values)

    def columns(self, table: str) -> list[str]:
        found = self.connection.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = %s", [table]
        )
        return [name for (name,) in found]

    def instant(self, expression: str) -> str:
        return f"to_timestamp({expression})"

    @property
    def series(self) -> str:
        return "generate_series(1, ?) AS series(n)"

    @property
    def id_of_cue(self) -> str:
        return "'cue_' || lpad(n::text, 12, '0')"


@dataclass
class Sqlite:
    connection: sqlite3.Connection

    def run(self, sql: str, values: Sequence[Any] = ()) -> None:
        self.connection.execute(sql, values)

    def columns(self, table: str) -> list[str]:
        return [row[1] for row in self.connection.execute(f"PRAGMA table_info({table})")]

    def instant(self, expression: str) -> str:
        return f"strftime('%Y-%m-%d %H:%M:%S', {expression}, 'unixepoch')"

    @property
    def series(self) -> str:
        return "(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < ?) SELECT n FROM s) AS series"

    @property
    def id_of_cue(self) -> str:
        return "'cue_' || printf('%012d', n)"


def fill(database_url: str, template: str, *, cues: int, now: datetime, spread_s: int = EVERY_S) -> None:
    """Copy the cue `template` so many times, due evenly over `spread_s` seconds from `now` on.

    Call while nothing else uses the database.
    """
    if database_url.startswith("sqlite"):
        with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as connection:
            _fill(Sqlite(connection), template, cues, now, spread_s)
            connection.commit()
            connection.execute("ANALYZE")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return
    with psycopg.connect(database_url, autocommit=True) as connection:
        _fill(Postgres(connection), template, cues, now, spread_s)
        for table in TABLES:
            connection.execute(f"VACUUM ANALYZE {table}".encode())


def ask(database_url: str, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a query, without the cost of a process of ours."""
    if database_url.startswith("sqlite"):
        with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as connection:
            return list(connection.execute(sql))
    with psycopg.connect(database_url) as connection:
        return list(connection.execute(sql.encode()))


def change(database_url: str, sql: str) -> None:
    """Run a statement that changes rows."""
    if database_url.startswith("sqlite"):
        with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as connection:
            connection.execute(sql)
            connection.commit()
        return
    with psycopg.connect(database_url) as connection:
        connection.execute(sql.encode())


def _fill(db: Any, template: str, cues: int, now: datetime, spread_s: int) -> None:
    start = int(now.timestamp())
    crontabs = min(max(cues // 10, 1), CRONTABS_MAX)
    _copy(
        db,
        "django_celery_beat_crontabschedule",
        crontabs,
        {
            "id": "10000000 + n",
            "minute": "CAST(n % 60 AS varchar(10))",
            "hour": "CAST(n / 60 % 24 AS varchar(10))",
            "day_of_month": "CAST(1 + n / 1440 % 28 AS varchar(10))",
            "month_of_year": "CAST(1 + n / 40320 % 12 AS varchar(10))",
            "day_of_week": "'*'",
            "timezone": "'UTC'",
        },
        where="id = (SELECT min(id) FROM django_celery_beat_crontabschedule)",
    )
    _copy(
        db,
        "django_celery_beat_periodictask",
        cues,
        {
            "id": "10000000 + n",
            "name": db.id_of_cue,
            "crontab_id": f"10000000 + 1 + n % {crontabs}",
            "interval_id": "NULL",
        },
        where=f"name = '{template}'",
    )
    due = db.instant(
        f"{start} + CAST(n AS bigint) * 7919 % {spread_s}"
    )  # a prime, so that neighbours are due far apart
    _copy(
        db,
        "cues_cue",
        cues,
        {"id": db.id_of_cue, "name": db.id_of_cue, "next_run": due, "anchor": due, "periodic_task_id": "10000000 + n"},
        where=f"id = '{template}'",
    )
    _copy(
        db,
        "cues_definition",
        cues,
        {"id": "10000000 + n", "cue_id": db.id_of_cue, "anchor": due},
        where=f"cue_id = '{template}'",
    )


def _copy(db: Any, table: str, count: int, changed: dict[str, str], *, where: str) -> None:
    columns = db.columns(table)
    values = [changed.get(column, f"t.{column}") for column in columns]
    db.run(
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values)} FROM {db.series}, {table} t"
        f" WHERE t.{where}",
        [count],
    )
