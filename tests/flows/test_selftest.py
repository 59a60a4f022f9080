"""`manage.py selftest` for real, in small: it passes here, says so in its last line, and leaves nothing behind."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cueapi.management.commands import selftest as command
from cueapi.management.selftest.kinds import KINDS
from tests.support.processes import ROOT, installation_environment

pytestmark = pytest.mark.processes

LIMIT_S = 240


@pytest.fixture
def folder() -> Iterator[Path]:
    """With a short path: the broker's socket has to fit into 108 bytes."""
    with tempfile.TemporaryDirectory(prefix="st-") as name:
        yield Path(name)


def selftest(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run in a folder for temporary files that is its own, as a user without settings would."""
    given = installation_environment(folder / "var", 8000) | {"TMPDIR": str(folder)} | environment
    return subprocess.run(
        [sys.executable, "manage.py", "selftest", *words],
        cwd=ROOT,
        env=given,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )


def test_a_small_run_passes_through_kills_and_leaves_nothing_behind(folder: Path) -> None:
    done = selftest(folder, "--quick", "--executions", "60", "--kills", "2", "--seed", "3")

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("PASSED: 60 executions, none lost")
    assert re.search(r"^lost +0", done.stdout, re.MULTILINE)
    assert "Your data, your broker and your running processes are not touched." in done.stdout
    assert list(folder.iterdir()) == []


def test_a_database_that_is_not_there_fails_it_in_words(folder: Path) -> None:
    done = selftest(folder, "--quick", DATABASE_URL=f"postgres://nobody@{'%2F'.join(['', 'nowhere'])}:5432/cueapi")

    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith("FAILED: ")
    assert "Traceback" not in done.stdout + done.stderr


def test_the_page_tells_the_defaults_and_what_is_printed() -> None:
    page = (ROOT / "docs/selftest.md").read_text()
    told = dict(re.findall(r"^\| `--(executions|kills)` \| (\d+) \|", page, re.MULTILINE))
    quick = dict(re.findall(r"^\| `--(executions|kills)` .*`--quick` (\d+)", page, re.MULTILINE))
    assert told == {"executions": str(command.EXECUTIONS), "kills": str(command.KILLS)}
    assert quick == {"executions": str(command.QUICK_EXECUTIONS), "kills": str(command.QUICK_KILLS)}
    assert all(kind.does in page for kind in KINDS)


def test_nonsense_is_refused_before_anything_starts(folder: Path) -> None:
    done = selftest(folder, "--executions", "many")

    assert (done.returncode, done.stdout) == (2, "")
    assert "invalid int value" in done.stderr
    assert os.listdir(folder) == []
