"""The self-test's scratch installation: apart from the user's, of the same kind, and gone afterwards."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection

from cueapi.conf import Settings, conf
from cueapi.management.selftest import scratch
from cueapi.management.selftest.problems import SelftestError

SECRETS = {"secret_key": "theirs", "email_url": "smtp://me:word@mail.internal", "redis_url": "redis://theirs:6379/0"}


def test_what_the_user_configured_is_passed_on_but_neither_secrets_nor_addresses() -> None:
    theirs = Settings(_env_file=None, lane_concurrency=3, **SECRETS)
    passed = scratch.passed_on(theirs, {"WORKER_THREADS": "5", "BROKER_URL": "amqp://theirs//", "secret_key": "theirs"})
    assert (passed["LANE_CONCURRENCY"], passed["WORKER_THREADS"]) == ("3", "5")
    assert not [value for value in passed.values() if "theirs" in value or "mail.internal" in value]


def test_the_scratch_processes_find_only_the_scratch_installation(tmp_path: Path) -> None:
    place = scratch.prepare(
        conf(), tmp_path, database_url="sqlite:///scratch.db", shortened={"REQUEUE_AFTER_SECONDS": "5"}
    )
    told = place.environment
    assert told["DATABASE_URL"] == "sqlite:///scratch.db"
    assert str(tmp_path) in told["REDIS_URL"]
    assert str(tmp_path) in told["BROKER_URL"]
    assert told["VAR_DIR"] == str(tmp_path / "var")
    assert told["HOST"] == "127.0.0.1"
    assert told["REQUEUE_AFTER_SECONDS"] == "5"
    assert not Path(told["DOTENV"]).exists()


@pytest.mark.parametrize("users_url", ["", "sqlite:////srv/cueapi/db.sqlite3"])
def test_beside_sqlite_the_scratch_database_is_a_file_in_the_scratch_folder(users_url: str, tmp_path: Path) -> None:
    with scratch.database(users_url, tmp_path) as (url, words):
        assert url == f"sqlite:///{tmp_path}/db.sqlite3"
        assert str(tmp_path) in words


# --- PostgreSQL -------------------------------------------------------------------------------------------------


def databases() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database WHERE datname LIKE 'cueapi_selftest_%'")
        return {name for (name,) in cursor.fetchall()}


@pytest.fixture
def url(db_on_postgres: None) -> str:
    return "postgres://someone:word@db.internal:5432/theirs?sslmode=require"


@pytest.fixture
def db_on_postgres(transactional_db: None) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("About PostgreSQL.")


@pytest.mark.database
def test_on_postgresql_a_database_of_its_own_is_made_and_dropped(url: str, tmp_path: Path) -> None:
    with scratch.database(url, tmp_path) as (scratch_url, words):
        (name,) = databases()
        assert scratch_url == f"postgres://someone:word@db.internal:5432/{name}?sslmode=require"
        assert name in words
        assert "word" not in words.replace(name, "")
    assert databases() == set()


@pytest.mark.database
def test_the_database_is_dropped_when_the_test_breaks_off(url: str, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), scratch.database(url, tmp_path):
        raise KeyboardInterrupt
    assert databases() == set()


@pytest.fixture
def role_without_rights(db_on_postgres: None) -> Iterator[None]:
    run("CREATE ROLE selftest_poor LOGIN")
    users_settings = dict(connection.settings_dict)
    leave_all_connections()
    connection.settings_dict["USER"] = "selftest_poor"
    yield
    leave_all_connections()
    connection.settings_dict.update(users_settings)
    run("DROP ROLE selftest_poor")


def leave_all_connections() -> None:
    connection.close()
    connection.close_pool()


def run(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.database
@pytest.mark.usefixtures("role_without_rights")
def test_a_role_that_may_not_make_databases_is_told_how_it_may(url: str, tmp_path: Path) -> None:
    with pytest.raises(SelftestError, match=r"ALTER ROLE .* CREATEDB"), scratch.database(url, tmp_path):
        pytest.fail("it must not get here")
