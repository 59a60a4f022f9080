"""`manage.py selftest`, for real: it passes, it sees what is broken, and it leaves nothing behind."""

import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
import requests

from cueapi.management.commands import selftest as command
from cueapi.management.selftest.kinds import KINDS
from tests.support.deadline import eventually
from tests.support.processes import ROOT, installation_environment

pytestmark = pytest.mark.processes

WITHIN_S = 150  # the run itself takes some 30 on an idle machine
SMALL = ("--quick", "--executions", "50", "--kills", "0", "--seed", "7")


class Run:
    """The command under way; its output goes to a file, so that it is no terminal."""

    def __init__(self, home: Path, words: tuple[str, ...], environment: Mapping[str, str]) -> None:
        self._output = home / "output"
        self._var_dir = home / "users-var"
        with open(self._output, "wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "selftest", *words],
                cwd=ROOT,
                env=installation_environment(self._var_dir, 1) | {"TMPDIR": str(home)} | dict(environment),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def lines(self) -> list[str]:
        return self._output.read_text().splitlines()

    @property
    def folder(self) -> Path:
        return Path(self._told(r"folder +(\S+),"))

    @property
    def base_url(self) -> str:
        return self._told(r"server +(\S+),")

    @property
    def has_touched_the_users_folder(self) -> bool:
        return self._var_dir.exists()

    def end(self) -> int:
        return self.process.wait(WITHIN_S)

    def _told(self, pattern: str) -> str:
        return eventually(lambda: re.findall(pattern, self._output.read_text()), within_s=30, what=pattern)[0]


@pytest.fixture
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    runs: list[Run] = []

    def begin(*words: str, **environment: str) -> Run:
        runs.append(Run(tmp_path_factory.mktemp("s"), words, environment))
        return runs[-1]

    yield begin
    for run in runs:
        run.process.terminate()
        run.process.wait(WITHIN_S)


def is_served(url: str) -> bool:
    try:
        return requests.get(f"{url}/health", timeout=2).status_code > 0
    except requests.RequestException:
        return False


def test_a_sound_installation_passes_through_kills_and_leaves_nothing_behind(start) -> None:
    run = start("--quick", "--executions", "100", "--kills", "2", "--seed", "7")
    assert run.end() == 0, run.lines
    assert re.fullmatch(
        "PASSED: 100 executions, none lost, no attempt twice, every verdict right, through 2 kills.", run.lines[-1]
    )
    assert "not touched" in run.lines[1]
    assert not run.folder.exists()
    assert not run.has_touched_the_users_folder
    assert not is_served(run.base_url)


def test_the_page_tells_the_defaults_and_what_the_receivers_do() -> None:
    page = (ROOT / "docs/selftest.md").read_text()
    told = dict(re.findall(r"^\| `--(executions|kills)` \| (\d+) \|", page, re.MULTILINE))
    quick = dict(re.findall(r"^\| `--(executions|kills)` .*`--quick` (\d+)", page, re.MULTILINE))
    assert told == {"executions": str(command.EXECUTIONS), "kills": str(command.KILLS)}
    assert quick == {"executions": str(command.QUICK_EXECUTIONS), "kills": str(command.QUICK_KILLS)}
    assert all(kind.does in page for kind in KINDS)


def hand_one_to_another_cue(folder: Path) -> int:
    """Take a finished execution from its cue, as if it had never been made for it. How many were changed."""
    with closing(sqlite3.connect(folder / "var" / "db.sqlite3", timeout=30)) as database:
        changed = database.execute(
            """
            UPDATE executions_execution SET cue_id = (
                SELECT other.cue_id FROM executions_execution other
                WHERE other.scheduled_for <> executions_execution.scheduled_for LIMIT 1
            )
            WHERE id = (SELECT id FROM executions_execution WHERE status = 'success' LIMIT 1)
            """
        ).rowcount
        database.commit()
    return changed


def has_tables(folder: Path) -> bool:
    try:
        return bool(hand_one_to_another_cue(folder))
    except sqlite3.OperationalError:
        return False


def test_an_execution_that_is_lost_fails_the_test_and_the_logs_are_kept(start) -> None:
    run = start(*SMALL)
    eventually(lambda: has_tables(run.folder), within_s=WITHIN_S, what="a success to lose")
    assert run.end() == 1, run.lines
    assert run.lines[-1].startswith("FAILED: 1 lost")
    assert str(run.folder) in run.lines[-1]
    assert (run.folder / "worker.log").exists()
    assert not is_served(run.base_url)


def test_ctrl_c_ends_every_process_and_removes_the_folder(start) -> None:
    run = start(*SMALL)
    eventually(lambda: [line for line in run.lines if "scheduled" in line], within_s=60, what="the run under way")
    assert is_served(run.base_url)
    run.process.send_signal(signal.SIGINT)
    assert run.end() == 130
    assert run.lines[-1].startswith("STOPPED")
    assert not run.folder.exists()
    assert not is_served(run.base_url)


def test_a_database_that_does_not_answer_is_told_in_the_last_line(start) -> None:
    run = start(*SMALL, DATABASE_URL="postgres://someone:topsecret@127.0.0.1:1/cueapi")
    assert run.end() == 1
    assert run.lines[-1].startswith("FAILED: The server of DATABASE_URL does not answer")
    assert "topsecret" not in "\n".join(run.lines)
