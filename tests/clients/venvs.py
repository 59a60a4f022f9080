"""A virtual environment for each published client: the SDK imports as `cueapi`, as we do, so it never shares ours.

They are made once, under .cache/clients/ of the checkout, from tests/clients/requirements-NAME.txt, and made anew when
that file changes. Without the package index the tests are skipped and say so.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.processes import ROOT

CACHE = ROOT / ".cache" / "clients"
INSTALL_S = 180
PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--retries", "1")


def programs_of(name: str) -> Path:
    """The bin/ with the Python and the console scripts of `sdk`, `cli` or `worker`. Skips the test without them."""
    requirements = Path(__file__).parent / f"requirements-{name}.txt"
    folder = CACHE / f"{name}-{_digest(requirements)}"
    with _alone(name):
        if not _is_complete(folder):
            _make(folder, requirements)
    return folder / "bin"


def _digest(requirements: Path) -> str:
    """What the environment depends on: the pinned versions, and the Python that runs them."""
    return hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:12]


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """One test process at a time; the others wait and find it made."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _is_complete(folder: Path) -> bool:
    return (folder / "complete").exists()


def _make(folder: Path, requirements: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # what an interrupted run left
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True, timeout=INSTALL_S)
    installed = subprocess.run(
        [folder / "bin" / "python", *PIP, "-r", str(requirements)],
        capture_output=True,
        text=True,
        timeout=INSTALL_S,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
    )
    if installed.returncode:
        shutil.rmtree(folder)
        pytest.skip(_why(requirements, installed.stderr))
    (folder / "complete").touch()


def _why(requirements: Path, pip_said: str) -> str:
    pinned = [line for line in requirements.read_text().splitlines() if line.startswith("cueapi")]
    last = (pip_said.strip().splitlines() or ["pip said nothing"])[-1]
    return (
        f"{pinned[0]} could not be installed ({last}). "
        "With a connection to the package index: .venv/bin/python -m pytest tests/clients"
    )
