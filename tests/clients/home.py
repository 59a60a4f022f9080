"""Where a client runs: a home and a working directory of its own, and nothing of ours in its environment."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.deadline import eventually

RUN_S = 90
STOP_S = 10


class Running:
    """A client that has not ended yet."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def output(self) -> str:
        """All that it printed so far."""
        return self._log.read_text(errors="replace")

    def says(self, words: str, *, within_s: float = 20) -> None:
        """Wait until it printed these words."""
        eventually(lambda: words in self.output, within_s=within_s, what=f"{words!r} in:\n{self.output}\n")

    def wait(self, *, within_s: float = 20) -> int:
        """Its exit status, once it ended."""
        return self._process.wait(timeout=within_s)

    def kill(self) -> None:
        """As a crash of its machine would."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Ask it to end, then make it."""
        self._process.terminate()
        try:
            self._process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()


class Home:
    """`Home(tmp_path, programs, API_KEY="…")` runs the console scripts in `programs` with these variables."""

    def __init__(self, folder: Path, programs: Path, **variables: str) -> None:
        self.folder = folder
        self._programs = programs
        self._environment = client_environment(folder, programs) | variables
        self._started = 0

    def run(self, program: str, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        """Run it to its end, with `typed` as its standard input."""
        return subprocess.run(
            [self._programs / program, *words],
            cwd=self.folder,
            env=self._environment,
            input=typed,
            capture_output=True,
            text=True,
            timeout=RUN_S,
        )

    @contextmanager
    def running(self, program: str, *words: str) -> Iterator[Running]:
        """Run it beside the test; it is stopped at the end."""
        self._started += 1
        log = self.folder / f"{program}-{self._started}.log"
        with open(log, "wb") as output:
            process = subprocess.Popen(
                [self._programs / program, *words],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        running = Running(process, log)
        try:
            yield running
        finally:
            running.stop()


def client_environment(folder: Path, programs: Path) -> Mapping[str, str]:
    """A plain one. BROWSER names a program that opens nothing."""
    return {
        "HOME": str(folder),
        "PATH": f"{programs}{os.pathsep}{os.defpath}",
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "BROWSER": "true",
    }
