"""Runs the processes of an installation in one terminal: starts, restarts, stops them, prefixes their lines.

Used by `manage.py up`. Each process leads a session of its own, so Ctrl-C reaches only us, and we choose the
order in which they stop.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Self

from honcho.colour import get_colours
from honcho.printer import Message, Printer

from cueapi.management import undertaker

POLL_S = 0.1
STEADY_AFTER_S = 30  # a process that lived this long starts again with the shortest delay
RESTART_DELAYS_S = (0.5, 1, 2, 5, 10)
SYSTEM = "cueapi"


class StartError(Exception):
    """What had to happen at start-up did not."""


@dataclass(frozen=True)
class Program:
    """What to run: a shell line as in a Procfile, or the words of a command."""

    name: str
    command: str | Sequence[str]
    stops_last: bool = False
    mute: str = ""  # lines with this in them are not shown


class Child:
    """One program, its present process, and when to start it again."""

    def __init__(self, program: Program, process: subprocess.Popen[bytes], reader: threading.Thread) -> None:
        self.program = program
        self.process = process
        self.reader = reader
        self.started_s = time.monotonic()
        self.restarts = 0
        self.restart_at_s: float | None = None

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def plan_restart(self) -> float:
        """Choose when to start it again; returns the delay in seconds."""
        now_s = time.monotonic()
        if now_s - self.started_s > STEADY_AFTER_S:
            self.restarts = 0
        delay_s = RESTART_DELAYS_S[min(self.restarts, len(RESTART_DELAYS_S) - 1)]
        self.restarts += 1
        self.restart_at_s = now_s + delay_s
        return delay_s


class Supervisor:
    """A context manager: on the way out everything that was started is stopped, whatever happened inside."""

    def __init__(self, *, env: Mapping[str, str], cwd: Path, grace_s: float = 15) -> None:
        self._env = dict(env)
        self._cwd = cwd
        self._grace_s = grace_s
        self._children: dict[str, Child] = {}
        self._stop_requests = 0
        self._output = Output()
        self._handlers: dict[signal.Signals, object] = {}
        self._undertaker = undertaker.start()

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._handlers[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        try:
            self._stop_all()
        finally:
            self._undertaker.close()
            for number, handler in self._handlers.items():
                signal.signal(number, handler)  # type: ignore[arg-type]

    def start(self, program: Program) -> None:
        """Start it and keep it running: a process that ends by itself is started again."""
        process, reader = self._spawn(program)
        self._children[program.name] = Child(program, process, reader)

    def wait_for(self, condition: Callable[[], bool], *, timeout_s: float, problem: str) -> None:
        """Look after the processes until `condition` holds; StartError(problem) when it takes too long."""
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline_s:
                raise StartError(problem)
            self._tick()

    def run(self) -> None:
        """Look after the processes until the operator stops us: raises KeyboardInterrupt."""
        while True:
            self._tick()

    def check(self) -> None:
        """Raise KeyboardInterrupt once the operator asked us to stop (Ctrl-C, SIGTERM, a closed terminal)."""
        if self._stop_requests:
            raise KeyboardInterrupt

    def announce(self, text: str) -> None:
        """Print it without a prefix, so that it can be copied."""
        self._output.announce(text)

    def _tick(self) -> None:
        self.check()
        time.sleep(POLL_S)
        for child in self._children.values():
            self._heal(child)

    def _heal(self, child: Child) -> None:
        if child.is_running:
            return
        if child.restart_at_s is None:
            self._bury(child)
            delay_s = child.plan_restart()
            status = describe_status(child.process.returncode)
            self._output.say(f"{child.program.name} {status}; it starts again in {delay_s:g} s")
        elif time.monotonic() >= child.restart_at_s:
            child.process, child.reader = self._spawn(child.program)
            child.started_s, child.restart_at_s = time.monotonic(), None

    def _spawn(self, program: Program) -> tuple[subprocess.Popen[bytes], threading.Thread]:
        shell = isinstance(program.command, str)
        process = subprocess.Popen(  # noqa: S603 - the Procfile is the operator's own
            f"exec {program.command}" if shell else program.command,
            shell=shell,
            env=self._env,
            cwd=self._cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._undertaker.watch(process.pid)
        return process, self._output.follow(program, process.stdout)

    def _bury(self, child: Child) -> None:
        """Its leader is dead: end what it left behind, which may still hold the port."""
        signal_group(child.process.pid, signal.SIGKILL)
        self._undertaker.forget(child.process.pid)

    def _stop_all(self) -> None:
        requests = self._stop_requests
        self._output.say("stopping")
        for is_last in (False, True):
            self._stop([c for c in self._children.values() if c.program.stops_last is is_last], requests)
        for child in self._children.values():
            child.reader.join(timeout=1)

    def _stop(self, children: list[Child], requests: int) -> None:
        """Ask politely; a second request, or the end of the grace period, ends them at once."""
        for child in children:
            if child.is_running:
                child.process.terminate()
        deadline_s = time.monotonic() + self._grace_s
        while any(child.is_running for child in children):
            if time.monotonic() > deadline_s or self._stop_requests > requests:
                break
            time.sleep(POLL_S)
        for child in children:
            self._bury(child)
            child.process.wait()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop_requests += 1


class Output:
    """Our standard output, shared by all processes line by line."""

    def __init__(self) -> None:
        self._printer = Printer(sys.stdout, width=len("worker"))
        self._next_colour = get_colours()
        self._colours: dict[str, str] = {}
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        self._line(SYSTEM, text, None)

    def announce(self, text: str) -> None:
        with self._lock, contextlib.suppress(OSError, ValueError):
            sys.stdout.write(text + "\n")
            sys.stdout.flush()

    def follow(self, program: Program, stream: IO[bytes] | None) -> threading.Thread:
        """Print what `stream` brings, from a thread that ends with it."""
        colour = self._colours.setdefault(program.name, next(self._next_colour))
        reader = threading.Thread(target=self._drain, args=(program, stream, colour), daemon=True)
        reader.start()
        return reader

    def _drain(self, program: Program, stream: IO[bytes], colour: str) -> None:
        mute = program.mute.encode()
        with stream:
            for line in stream:
                if not mute or mute not in line:
                    self._line(program.name, line, colour)

    def _line(self, name: str, data: str | bytes, colour: str | None) -> None:
        # A reader of ours that went away (`make up | head`) must not block the processes: go on draining.
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._printer.write(Message("line", data, datetime.now(), name, colour))  # noqa: DTZ005 - wall clock


def describe_status(returncode: int) -> str:
    """`was ended by SIGKILL` or `ended with status 3`."""
    if returncode < 0:
        return f"was ended by {signal.Signals(-returncode).name}"
    return f"ended with status {returncode}"


def signal_group(leader_pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader_pid, number)
