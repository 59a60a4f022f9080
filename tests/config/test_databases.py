"""How many connections a process takes, and what a pooler in between needs."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.conf import settings
from django.db import connection, connections

from config.databases import database, is_pooled

POSTGRES = "postgres://cueapi:secret@db.internal:5432/cueapi"


def test_on_postgresql_a_process_shares_its_connections() -> None:
    entry = database(POSTGRES, pool=20)

    assert is_pooled(entry)
    assert entry["OPTIONS"]["pool"]["max_size"] == 20
    assert entry["CONN_MAX_AGE"] == 0  # Django refuses a pool otherwise


def test_without_a_pool_a_thread_keeps_its_connection() -> None:
    entry = database(POSTGRES, pool=0)

    assert not is_pooled(entry)
    assert entry["CONN_MAX_AGE"] > 0


@pytest.mark.parametrize("is_bouncer", [True, False])
def test_what_the_url_asks_for_is_kept_beside_the_pool(is_bouncer: bool) -> None:
    entry = database(f"{POSTGRES}?sslmode=verify-full", pool=5, is_bouncer=is_bouncer)

    assert entry["OPTIONS"]["sslmode"] == "verify-full"
    assert entry["DISABLE_SERVER_SIDE_CURSORS"] is is_bouncer


def test_sqlite_has_no_pool() -> None:
    assert not is_pooled(database("sqlite:///var/db.sqlite3", pool=20))


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
def test_more_threads_than_connections_take_turns() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no pool of connections.")
    most = settings.DATABASES["default"]["OPTIONS"]["pool"]["max_size"]

    def ask(_: int) -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid() FROM pg_sleep(0.05)")
            (pid,) = cursor.fetchone()
        connections.close_all()
        return int(pid)

    with ThreadPoolExecutor(3 * most) as threads:
        pids = list(threads.map(ask, range(6 * most)))

    assert 1 < len(set(pids)) <= most
