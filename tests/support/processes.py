"""An installation of the product in real processes, for end-to-end tests: its own var/, its own port.

with Installation() as it:
    it.start("broker"), it.start("web"), it.start("worker"), it.start("beat")
    requests.get(f"{it.base_url}/health")
    it.kill("worker")
    it.start("worker")
"""

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from honcho.environ import parse_procfile

from cueapi.bootstrap import make_secrets
from cueapi.embedded import broker_command
from tests.support.brokers import Broker, PrivateValkey
from tests.support.deadline import eventually
from tests.support.ports import free_port
from tests.support.postgres import Server

ROOT = Path(__file__).resolve().parent.parent.parent
START_S = 30
STOP_S = 15
NAMES = ("broker", "web", "worker", "beat")

# What the test process was given and the product must not see.
TEST_ONLY = ("VAR_DIR", "SECRET_KEY", "DATABASE_URL", "TEST_DATABASE_URL", "DJANGO_SETTINGS_MODULE", "HOST")

MAKE_FIRST_ACCOUNT = """
from cueapi import accounts, clock
print("made", *accounts.bootstrap("you@localhost", now=clock.now()))
"""


class Installation:
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
        self.var_dir = Path(self._folder.name) / "var"
        self.port = free_port()
        self.base_url = f"http://localhost:{self.port}"
        given = {**self._broker.settings(self.var_dir), **(environment or {})}
        self.environment = installation_environment(self.var_dir, self.port) | given
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        make_secrets(self.var_dir)
        self.manage("migrate", "--verbosity", "0")
        words = self.manage("shell", "--verbosity", "0", "-c", MAKE_FIRST_ACCOUNT).split()
        self.api_key, self.admin_password = words[-2:]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop_all()
        self._folder.cleanup()

    def manage(self, *words: str) -> str:
        """Run a command of manage.py; returns what it printed."""
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self, name: str) -> None:
        """Start `web`, `worker`, `beat` or `broker` and wait until it is ready (beat: only started).

        `beat-2` is a second one.
        """
        self.start_command(name, self._command(name))

    def start_command(self, name: str, command: str | list[str]) -> None:
        """Start another command than the Procfile's in the role of `name`, and wait until it is ready."""
        assert not self.is_running(name), f"{name} runs already"
        with open(self._log_path(name), "ab") as log:
            self._processes[name] = subprocess.Popen(
                command,
                shell=isinstance(command, str),
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        eventually(lambda: self._is_ready(name), within_s=START_S, what=f"{name} being ready")

    def kill(self, name: str) -> None:
        """`kill -9` the process and all it started."""
        process = self._processes.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop(self, name: str) -> int:
        """Ask it to end (SIGTERM) and wait; returns its exit status, negative when it had to be killed."""
        process = self._processes.pop(name)
        process.terminate()
        try:
            return process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            return -signal.SIGKILL
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def stop_all(self) -> None:
        """The broker last, so that the others can finish."""
        for name in sorted(self._processes, key=lambda name: name in ("broker", "store")):
            self.stop(name)

    def is_running(self, name: str) -> bool:
        return name in self._processes and self._processes[name].poll() is None

    def pid(self, name: str) -> int:
        return self._processes[name].pid

    @property
    def database_url(self) -> str:
        return self.environment.get("DATABASE_URL") or f"sqlite:///{self.var_dir / 'db.sqlite3'}"

    def log(self, name: str) -> str:
        """All that the process printed so far, over its restarts."""
        path = self._log_path(name)
        return path.read_text(errors="replace") if path.exists() else ""

    def _log_path(self, name: str) -> Path:
        return Path(self._folder.name) / f"{name}.log"

    def _command(self, name: str) -> str | list[str]:
        if name == "broker":
            return list(self._broker.command(self.var_dir))
        if name == "store":
            return broker_command(self.var_dir)
        return "exec " + parse_procfile((ROOT / "Procfile").read_text()).processes[name.partition("-")[0]]

    def _is_ready(self, name: str) -> bool:
        assert self.is_running(name), f"{name} ended at once:\n{self.log(name)}"
        checks = {
            "broker": lambda: self._broker.answers(self.var_dir),
            "store": lambda: PrivateValkey().answers(self.var_dir),
            "web": self._web_answers,
            "worker": lambda: self._broker.listeners(self.var_dir) > 0,
        }
        return checks.get(name, lambda: True)()

    def _web_answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/health")
            return connection.getresponse().status < 500
        return False


def installation_environment(var_dir: Path, port: int) -> dict[str, str]:
    """The environment of a fresh installation: ours, without what belongs to the test run."""
    ours = {name: value for name, value in os.environ.items() if name not in TEST_ONLY and "PYTEST" not in name}
    return ours | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "VAR_DIR": str(var_dir),
        "PORT": str(port),
        "BASE_URL": f"http://localhost:{port}",
        "WEB_CONCURRENCY": "1",
        "PYTHONUNBUFFERED": "1",
    }
