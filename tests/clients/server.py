"""Servers that all test processes of one run share: the first that needs one starts it, and outlives the others."""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Self

import pytest

from tests.support.processes import NAMES, ROOT, Installation


@dataclass(frozen=True)
class Server:
    """What a test needs of an Installation, in whichever process that is."""

    base_url: str
    logs: str
    environment: Mapping[str, str]

    @classmethod
    def of(cls, it: Installation) -> Self:
        return cls(it.base_url, str(it.var_dir.parent), it.environment)

    def log(self, name: str) -> str:
        """All that `web`, `worker`, `beat` or `broker` printed so far."""
        return (Path(self.logs) / f"{name}.log").read_text(errors="replace")

    def python(self, code: str) -> None:
        """Do what only an operator can: run code beside the server."""
        command = [sys.executable, "manage.py", "shell", "--verbosity", "0", "-c", code]
        subprocess.run(command, cwd=ROOT, env=self.environment, check=True, capture_output=True)


def folder_of_run(temporary: pytest.TempPathFactory) -> Path:
    """A folder that the processes of this run have in common: with xdist, each has its own in it."""
    own = temporary.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@contextmanager
def shared_server(folder: Path, name: str, environment: Mapping[str, str]) -> Iterator[Server]:
    """The run's server of this name. The system drops a lock when its process ends, however it ends."""
    with ExitStack() as stack:
        users = stack.enter_context(open(folder / f"{name}.users", "w"))
        with _alone(folder / f"{name}.lock"):
            server, is_ours = _find_or_start(folder / f"{name}.json", environment, stack)
            fcntl.flock(users, fcntl.LOCK_SH)
        yield server
        if is_ours:
            _wait_for_others(users, folder, name)


def _find_or_start(note: Path, environment: Mapping[str, str], stack: ExitStack) -> tuple[Server, bool]:
    if note.exists():
        return Server(**json.loads(note.read_text())), False
    it = stack.enter_context(Installation(environment))
    for name in NAMES:
        it.start(name)
    note.write_text(json.dumps(asdict(Server.of(it))))
    return Server.of(it), True


def _wait_for_others(users: IO[str], folder: Path, name: str) -> None:
    with _alone(folder / f"{name}.lock"):
        (folder / f"{name}.json").unlink()  # who comes now starts one of its own
    fcntl.flock(users, fcntl.LOCK_EX)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
