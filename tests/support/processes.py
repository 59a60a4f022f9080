"""An installation of the product in real processes, for end-to-end tests: its own var/, its own port.

with Installation() as it:
    it.start("broker"), it.start("web"), it.start("worker"), it.start("beat")
    requests.get(f"{it.base_url}/health")
    it.kill("worker")
    it.start("worker")
"""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from cueapi.bootstrap import make_secrets
from cueapi.embedded import broker_command
from cueapi.management.processes import NAMES, Check, Place, Processes, scripts_first
from tests.support.brokers import Broker, PrivateValkey
from tests.support.ports import free_port
from tests.support.postgres import Server

__all__ = ["NAMES", "ROOT", "Installation", "installation_environment"]

ROOT = Path(__file__).resolve().parent.parent.parent

# What the test process was given and the product must not see.
TEST_ONLY = ("VAR_DIR", "SECRET_KEY", "DATABASE_URL", "TEST_DATABASE_URL", "DJANGO_SETTINGS_MODULE", "HOST")

MAKE_FIRST_ACCOUNT = """
from cueapi import accounts, clock
print("made", *accounts.bootstrap("you@localhost", now=clock.now()))
"""


class Installation(Processes):
    """Stops every process and removes its var/ at the end. `environment` is added to that of each process.

    Where the broker is not Redis or Valkey, there is another role, `store`.
    """

    api_key: str
    admin_password: str
    database_server: Server | None = None  # of our own, where it has one

    def __init__(self, environment: Mapping[str, str] | None = None, *, broker: Broker | None = None) -> None:
        self._broker = broker or PrivateValkey()
        self.roles = ("broker", *self._broker.beside, "web", "worker", "beat")
        self._folder = tempfile.TemporaryDirectory(prefix="cueapi-installation-")
        home = Path(self._folder.name)
        self.var_dir = home / "var"
        self.port = free_port()
        self.base_url = f"http://localhost:{self.port}"
        given = {**self._broker.settings(self.var_dir), **(environment or {})}
        self.environment = installation_environment(self.var_dir, self.port) | given
        super().__init__(Place(ROOT, self.var_dir, home, self.port, self.environment))

    def __enter__(self) -> Self:
        make_secrets(self.var_dir)
        self.manage("migrate", "--verbosity", "0")
        words = self.manage("shell", "--verbosity", "0", "-c", MAKE_FIRST_ACCOUNT).split()
        self.api_key, self.admin_password = words[-2:]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop_all()
        self._folder.cleanup()

    @property
    def database_url(self) -> str:
        return self.environment.get("DATABASE_URL") or f"sqlite:///{self.var_dir / 'db.sqlite3'}"

    def command(self, name: str) -> str | list[str]:
        own = {"broker": self._broker.command, "store": broker_command}
        return own[name](self.var_dir) if name in own else super().command(name)

    def checks(self) -> Mapping[str, Check]:
        return {
            **super().checks(),
            "broker": lambda: self._broker.answers(self.var_dir),
            "store": lambda: PrivateValkey().answers(self.var_dir),
            "worker": lambda: self._broker.listeners(self.var_dir) > 0,
        }


def installation_environment(var_dir: Path, port: int) -> dict[str, str]:
    """The environment of a fresh installation: ours, without what belongs to the test run."""
    ours = {name: value for name, value in os.environ.items() if name not in TEST_ONLY and "PYTEST" not in name}
    return ours | {
        "PATH": scripts_first(os.environ.get("PATH", "")),
        "VAR_DIR": str(var_dir),
        "PORT": str(port),
        "BASE_URL": f"http://localhost:{port}",
        "WEB_CONCURRENCY": "1",
        "PYTHONUNBUFFERED": "1",
    }
