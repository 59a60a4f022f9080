"""`manage.py up`: a whole installation in one terminal, ready for its first request."""

import fcntl
import http.client
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections
from honcho.environ import parse_procfile

from cueapi import clock, wakeups
from cueapi.bootstrap import make_secrets
from cueapi.conf import Settings, conf
from cueapi.embedded import broker_command, broker_redis_url
from cueapi.management import banner, first_login, ports
from cueapi.management.supervisor import Program, StartError, Supervisor
from cueapi.volatile import Unavailable, store

BROKER_START_S = 60  # a long append-only file takes time to load
WEB_START_S = 60
OVERCOMMIT = "Memory overcommit must be enabled"  # Valkey says so on nearly every machine; we hold little


class Command(BaseCommand):
    help = "Run everything in one terminal: broker, web, worker and beat. PORT moves it, Ctrl-C stops it."

    def handle(self, *args: Any, **options: Any) -> None:
        os.umask(0o077)  # whatever we or the processes write in var/ is ours alone
        host = os.environ.get("HOST") or "127.0.0.1"
        try:
            port = ports.parse_port(os.environ.get("PORT") or "8000")
            make_secrets(conf().var_dir)
            with only_one(conf().var_dir):
                ports.require_free(host, port)
                self._run(host, port)
        except (ports.PortError, StartError, AlreadyRunningError) as problem:
            raise CommandError(str(problem)) from None
        except KeyboardInterrupt:
            return

    def _run(self, host: str, port: int) -> None:
        env = environment(os.environ, conf(), host=host, port=port)
        with Supervisor(env=env, cwd=settings.BASE_DIR) as supervisor:
            start_broker(supervisor, conf())
            prepare_database()
            supervisor.check()
            login = first_login.make_or_read(conf().var_dir, now=clock.now())
            it = banner.Installation(
                base_url=env["BASE_URL"].rstrip("/"),
                var_dir=conf().var_dir,
                manage_py=settings.BASE_DIR / "manage.py",
                login=login,
                key_works=login is not None and login.key_works,
            )
            connections.close_all()
            start_procfile(supervisor, settings.BASE_DIR / "Procfile")
            supervisor.wait_for(
                lambda: web_answers(*ports.local_address(host, port)),
                timeout_s=WEB_START_S,
                problem="The web process does not answer. Its lines above say why.",
            )
            supervisor.announce(banner.render(it))
            try:
                supervisor.run()
            finally:
                wakeups.release()  # a web process stops once its last request has ended


class AlreadyRunningError(Exception):
    """Another `manage.py up` works in the same var/."""


@contextmanager
def only_one(var_dir: Path) -> Iterator[None]:
    """Hold var/ for ourselves: two brokers would spoil each other's data. Raises AlreadyRunningError."""
    with open(var_dir / "up.lock", "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunningError(
                f"CueAPI already runs with its data in {var_dir}. Stop it first (Ctrl-C in its terminal), "
                "or give the second one a folder of its own: make up PORT=8001 VAR_DIR=/some/other/folder"
            ) from None
        yield


def environment(base: "os._Environ[str] | dict[str, str]", it: Settings, *, host: str, port: int) -> dict[str, str]:
    """What the processes find in their environment."""
    path = os.pathsep.join([str(Path(sys.executable).parent), base.get("PATH", os.defpath)])
    warnings = ",".join(filter(None, [base.get("PYTHONWARNINGS"), "ignore:::celery.platforms"]))
    return {
        **base,
        "PATH": path,
        "HOST": host,
        "PORT": str(port),
        "BASE_URL": it.base_url if "base_url" in it.model_fields_set else f"http://localhost:{port}",
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": warnings,  # Celery's about running as root, which is harmless with JSON messages
        "C_FORCE_ROOT": "1",
    }


def start_broker(supervisor: Supervisor, it: Settings) -> None:
    """Start the private Valkey and wait until it answers, unless the operator named another."""
    if it.redis_url == broker_redis_url(it.var_dir):
        supervisor.start(Program("broker", broker_command(it.var_dir), stops_last=True, mute=OVERCOMMIT))
        problem = "The broker does not answer. Its lines above say why."
    else:
        problem = "Nothing answers at REDIS_URL. Start that server, or unset REDIS_URL to use the private one."
    supervisor.wait_for(broker_answers, timeout_s=BROKER_START_S, problem=problem)


def prepare_database() -> None:
    call_command("migrate", verbosity=0, interactive=False)


def start_procfile(supervisor: Supervisor, procfile: Path) -> None:
    for name, command in parse_procfile(procfile.read_text()).processes.items():
        supervisor.start(Program(name, command))


def broker_answers() -> bool:
    try:
        return bool(store().ping())
    except Unavailable:
        return False


def web_answers(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
