"""Ends the processes of an installation when `manage.py up` itself was killed and cannot do it.

A small process that holds the reading end of a pipe. The pipe closes when the supervisor ends, for whatever
reason; the process groups it was told of and that are still there are then ended, so that the next start
finds the port and the broker's data free.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable

GRACE_S = 5


class Undertaker:
    """The supervisor's end of the pipe."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def watch(self, leader_pid: int) -> None:
        self._tell(f"+{leader_pid}")

    def forget(self, leader_pid: int) -> None:
        self._tell(f"-{leader_pid}")

    def close(self) -> None:
        """Everything is stopped: let it end too."""
        with contextlib.suppress(OSError):
            self._process.communicate()

    def _tell(self, line: str) -> None:
        with contextlib.suppress(OSError):
            print(line, file=self._process.stdin, flush=True)


def start() -> Undertaker:
    return Undertaker(
        subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", "-S", __file__], stdin=subprocess.PIPE, start_new_session=True, text=True
        )
    )


def _alive(leader_pids: Iterable[int], number: int = 0) -> list[int]:
    """Send `number` to each group (0: only ask); returns those that are there."""
    found = []
    for pid in leader_pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, number)
            found.append(pid)
    return found


def _attend(lines: Iterable[str]) -> None:
    watched: set[int] = set()
    for line in lines:
        (watched.add if line[0] == "+" else watched.discard)(int(line[1:]))
    deadline_s = time.monotonic() + GRACE_S
    left = _alive(watched, signal.SIGTERM)
    while left and time.monotonic() < deadline_s:
        time.sleep(0.1)
        left = _alive(left)
    _alive(left, signal.SIGKILL)


if __name__ == "__main__":
    _attend(sys.stdin)
