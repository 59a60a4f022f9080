"""A scratch installation beside the user's: its folder, its database of the same kind, its settings, its processes."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection
from django.db.utils import ProgrammingError

from cueapi.bootstrap import make_secrets
from cueapi.conf import Settings
from cueapi.embedded import broker_redis_url, broker_socket
from cueapi.management import undertaker
from cueapi.management.processes import NAMES, Place, Processes, free_port, scripts_first
from cueapi.management.selftest.kinds import WEBHOOK_TIMEOUT_S
from cueapi.management.selftest.problems import SelftestError

POSTGRES_SCHEMES = ("postgres", "postgresql", "pgsql")
PREFIX = "cueapi_selftest_"

# By default a dead sender or a lost message is noticed in minutes; a run of two minutes cannot wait for that.
SHORTENED = {
    "WEBHOOK_TIMEOUT_SECONDS": str(WEBHOOK_TIMEOUT_S),
    "EXECUTION_STALE_AFTER_SECONDS": "2",
    "EXECUTION_STALE_MARGIN_SECONDS": "6",
    "REQUEUE_AFTER_SECONDS": "5",
    "BREAKER_FAILURES": "0",  # its receivers fail by design; executions would wait for their probes
}
QUICKER = {"EXECUTION_STALE_MARGIN_SECONDS": "3"}

# Of the user's settings these are not passed on: they are secrets, name what the test must not touch, or shut it out.
WITHHELD = frozenset(
    {
        "SECRET_KEY",
        "SECRET_KEY_FALLBACKS",
        "SESSION_SECRET",
        "EMAIL_URL",
        "METRICS_TOKEN",
        "DATABASE_URL",
        "REDIS_URL",
        "BROKER_URL",
        "DEFAULT_MONTHLY_EXECUTION_LIMIT",
        "TRUSTED_PROXY_COUNT",
    }
)


@dataclass(frozen=True)
class Scratch:
    """What was set up. `database` says in words where its data is."""

    folder: Path
    database: str
    shortened: Mapping[str, str]
    processes: Processes

    @property
    def base_url(self) -> str:
        return self.processes.place.environment["BASE_URL"]


def make_folder() -> Path:
    """A new folder that only its owner can enter; `forget` removes it."""
    return Path(tempfile.mkdtemp(prefix="cueapi-selftest-"))


@contextmanager
def installation(it: Settings, folder: Path, *, is_quick: bool) -> Iterator[Scratch]:
    """Everything but the processes, which the caller starts; at the end those are killed and the database is dropped.

    The folder stays. Raises SelftestError.
    """
    with closing(undertaker.start()) as guard, database(it.database_url, folder / "var") as (url, words):
        shortened = SHORTENED | (QUICKER if is_quick else {})
        with closing(Processes(prepare(it, folder, database_url=url, shortened=shortened), guard)) as processes:
            yield Scratch(folder, words, shortened, processes)


def forget(folder: Path) -> None:
    """The folder goes, and that of the broker's socket, which is elsewhere where paths are long."""
    for one in (broker_socket(folder / "var").parent, folder):
        shutil.rmtree(one, ignore_errors=True)


def prepare(it: Settings, folder: Path, *, database_url: str, shortened: Mapping[str, str]) -> Place:
    """The folders and the environment of the scratch installation."""
    var_dir, port = folder / "var", free_port()
    make_secrets(var_dir)
    redis_url = broker_redis_url(var_dir)
    ours = {
        "PATH": scripts_first(os.environ.get("PATH", "")),
        "DOTENV": str(folder / "none.env"),
        "VAR_DIR": str(var_dir),
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "BROKER_URL": redis_url.replace("unix://", "redis+socket://", 1),
        "ENV": "development",
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "BASE_URL": f"http://127.0.0.1:{port}",
        "ALLOWED_HOSTS": "*",
        "ALLOW_REGISTER": "true",
        "DEFAULT_PLAN": "unlimited",
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "ignore:::celery.platforms",
        "C_FORCE_ROOT": "1",
    }
    return Place(settings.BASE_DIR, var_dir, folder, port, passed_on(it, os.environ) | ours | dict(shortened))


def passed_on(it: Settings, environment: Mapping[str, str]) -> dict[str, str]:
    """The user's environment and the settings that `.env` and var/ add to it, without what is WITHHELD."""
    chosen = {name.upper(): str(getattr(it, name)) for name in it.model_fields_set if getattr(it, name) is not None}
    return {name: value for name, value in (chosen | dict(environment)).items() if name.upper() not in WITHHELD}


# --- The database -----------------------------------------------------------------------------------------------


@contextmanager
def database(users_url: str, var_dir: Path) -> Iterator[tuple[str, str]]:
    """A scratch database of the same kind as the user's: its URL, and where it is in words. Raises SelftestError."""
    parts = urlsplit(users_url)
    if parts.scheme not in POSTGRES_SCHEMES:
        yield f"sqlite:///{var_dir / 'db.sqlite3'}", f"SQLite in {var_dir}"
        return
    name = PREFIX + secrets.token_hex(5)
    _create(name)
    try:
        yield parts._replace(path=f"/{name}").geturl(), f"PostgreSQL, a database {name} on the server of DATABASE_URL"
    finally:
        _drop(name)


def _create(name: str) -> None:
    try:
        with closing(connection), connection.cursor() as cursor:
            cursor.execute(f'CREATE DATABASE "{name}"')
    except ProgrammingError as error:
        raise SelftestError(_not_permitted(str(error))) from None
    except DatabaseError as error:
        raise SelftestError(f"The server of DATABASE_URL does not answer: {str(error).strip()}") from None


def _drop(name: str) -> None:
    try:
        with closing(connection), connection.cursor() as cursor:
            cursor.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    except DatabaseError as error:
        raise SelftestError(f"The scratch database is left behind: {error}. Run: DROP DATABASE {name}") from None


def _not_permitted(told: str) -> str:
    role = str(settings.DATABASES["default"].get("USER") or "the role of DATABASE_URL")
    return (
        f"{role} may not create the scratch database ({told.strip()}). "
        f'As a superuser run: ALTER ROLE "{role}" CREATEDB; then again, and afterwards: ALTER ROLE "{role}" NOCREATEDB;'
    )


def start(scratch: Scratch) -> None:
    """Make the tables and start all processes. Raises StartError."""
    scratch.processes.manage("migrate", "--verbosity", "0")
    scratch.processes.start(*NAMES)
