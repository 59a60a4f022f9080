"""Web, worker, beat and broker of one installation as processes that can be killed and started again, one by one.

For `manage.py selftest` and for the tests. `manage.py up` has a supervisor instead, which keeps them all running.
"""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import redis
from honcho.environ import parse_procfile

from cueapi.embedded import broker_command, broker_redis_url
from cueapi.management.supervisor import StartError, describe_status, signal_group
from cueapi.management.undertaker import Undertaker

START_S = 60
STOP_S = 15
LOOK_S = 0.02
LOG_TAIL_CHARS = 2000
NAMES = ("broker", "web", "worker", "beat")

Check = Callable[[], bool]


@dataclass(frozen=True)
class Place:
    """Where an installation is: its code, its data, its logs, its port, and what its processes find in their
    environment."""

    root: Path
    var_dir: Path
    logs: Path
    port: int
    environment: Mapping[str, str]


class Processes:
    """Each process leads a group of its own, so that a Ctrl-C in the terminal reaches none of them.

    After `close` nothing can be started any more, whichever thread tries.
    """

    def __init__(self, place: Place, undertaker: Undertaker | None = None) -> None:
        self.place = place
        self._undertaker = undertaker
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()
        self._is_closed = False

    def manage(self, *words: str) -> str:
        """Run a command of manage.py to its end; what it printed. Raises StartError with that when it fails."""
        done = subprocess.run(  # noqa: S603
            [sys.executable, "manage.py", *words],
            cwd=self.place.root,
            env=dict(self.place.environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            start_new_session=True,
        )
        if done.returncode:
            raise StartError(f"manage.py {words[0]} failed:\n{(done.stdout + done.stderr)[-LOG_TAIL_CHARS:]}")
        return done.stdout

    def start(self, *names: str) -> None:
        """Start `web`, `worker`, `beat` or `broker`, and wait until all of these are ready (beat: only started).

        `beat-2` is a second one. Raises StartError with the end of its log for one that does not come up.
        """
        for name in names:
            self.launch(name, self.command(name))
        self.await_ready(names)

    def start_command(self, name: str, command: str | list[str]) -> None:
        """Start another command than the Procfile's in the role of `name`, and wait until it is ready."""
        self.launch(name, command)
        self.await_ready([name])

    def launch(self, name: str, command: str | list[str]) -> None:
        """Start it and do not wait."""
        with self._lock, open(self.log_path(name), "ab") as log:
            if self._is_closed or self.is_running(name):
                raise StartError("everything is stopped" if self._is_closed else f"{name} runs already")
            process = self._processes[name] = subprocess.Popen(  # noqa: S603 - the Procfile is the operator's own
                command,
                shell=isinstance(command, str),
                cwd=self.place.root,
                env=dict(self.place.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if self._undertaker:
            self._undertaker.watch(process.pid)

    def await_ready(self, names: Iterable[str]) -> None:
        deadline_s = time.monotonic() + START_S
        for name in names:
            while not self.is_ready(name):
                if time.monotonic() > deadline_s:
                    raise StartError(f"{name} was not ready within {START_S} s:\n{self._log_tail(name)}")
                time.sleep(LOOK_S)

    def kill(self, name: str) -> None:
        """`kill -9` the process and all it started."""
        self._bury(self._processes.pop(name))

    def stop(self, name: str) -> int:
        """Ask it to end (SIGTERM) and wait; returns its exit status, negative when it had to be killed."""
        process = self._processes.pop(name)
        process.terminate()
        try:
            return process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            return -signal.SIGKILL
        finally:
            self._bury(process)

    def stop_all(self) -> None:
        """The broker and the store last, so that the others can finish."""
        for name in sorted(self._processes, key=lambda name: name in ("broker", "store")):
            self.stop(name)

    def close(self) -> None:
        """Kill whatever runs, for good."""
        with self._lock:
            self._is_closed = True
            while self._processes:
                self._bury(self._processes.popitem()[1])

    def is_running(self, name: str) -> bool:
        return name in self._processes and self._processes[name].poll() is None

    def pid(self, name: str) -> int:
        return self._processes[name].pid

    def log(self, name: str) -> str:
        """All that the process printed so far, over its restarts."""
        path = self.log_path(name)
        return path.read_text(errors="replace") if path.exists() else ""

    def log_path(self, name: str) -> Path:
        return self.place.logs / f"{name}.log"

    def is_ready(self, name: str) -> bool:
        """Raises StartError when it has ended."""
        process = self._processes.get(name)
        if process is None or process.poll() is not None:
            how = describe_status(process.returncode) if process else "was stopped"
            raise StartError(f"{name} {how}:\n{self._log_tail(name)}")
        return self.checks().get(name, lambda: True)()

    def checks(self) -> Mapping[str, Check]:
        """How each is asked whether it is ready; one that is not here is ready once it runs."""
        return {"broker": self._broker_answers, "web": self._web_answers, "worker": self.worker_listens}

    def worker_listens(self) -> bool:
        """Its connection waits in the blocking read of its queues."""
        return _ask(self._redis_url, lambda client: any(one["cmd"] == "brpop" for one in client.client_list()))

    @property
    def _redis_url(self) -> str:
        return self.place.environment.get("REDIS_URL") or broker_redis_url(self.place.var_dir)

    def command(self, name: str) -> str | list[str]:
        """What runs it: the words of a command, or a shell line."""
        if name == "broker":
            return broker_command(self.place.var_dir)
        return "exec " + str(
            parse_procfile((self.place.root / "Procfile").read_text()).processes[name.partition("-")[0]]
        )

    def _broker_answers(self) -> bool:
        return _ask(broker_redis_url(self.place.var_dir), lambda client: bool(client.ping()))

    def _web_answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.place.port, timeout=2)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/health")
            return connection.getresponse().status < 500
        return False

    def _bury(self, process: subprocess.Popen[bytes]) -> None:
        signal_group(process.pid, signal.SIGKILL)
        process.wait()
        if self._undertaker:
            self._undertaker.forget(process.pid)

    def _log_tail(self, name: str) -> str:
        return self.log(name)[-LOG_TAIL_CHARS:]


def scripts_first(path: str) -> str:
    """PATH so that the programs of this Python are found before others of the same name."""
    return f"{Path(sys.executable).parent}{os.pathsep}{path or os.defpath}"


def free_port() -> int:
    """A port of this machine that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _ask(url: str, question: Callable[[redis.Redis], bool]) -> bool:
    try:
        with redis.Redis.from_url(url) as client:
            return question(client)
    except redis.ConnectionError:
        return False
