"""The supervisor of `manage.py up`: it restarts what dies, stops in order, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cueapi.management.supervisor import Program, StartError, Supervisor, describe_status
from tests.support.deadline import eventually

NOTING = """
echo $$ >> pids
trap 'echo $1 >> ended; exit 0' TERM
echo $1 >> ready
sleep 60 & wait
"""

STUBBORN = """
trap '' TERM
sleep 60 & echo $! >> pids
echo $$ >> pids
wait; wait
"""


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    with Supervisor(env=dict(os.environ), cwd=tmp_path, grace_s=5) as running:
        yield running


def program(folder: Path, name: str, *, script: str = NOTING, stops_last: bool = False) -> Program:
    """By default it notes its pid, that it is ready, and that it was asked to end."""
    (folder / f"{name}.sh").write_text(script)
    return Program(name, f"sh {folder}/{name}.sh {name}", stops_last)


def lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def until(supervisor: Supervisor, condition: Callable[[], object]) -> None:
    supervisor.wait_for(lambda: bool(condition()), timeout_s=10, problem="it did not happen")


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_killed_process_starts_again(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(program(tmp_path, "worker"))
    until(supervisor, lambda: lines(tmp_path / "ready"))

    os.kill(int(lines(tmp_path / "pids")[0]), signal.SIGKILL)

    until(supervisor, lambda: len(set(lines(tmp_path / "pids"))) == 2)


def test_the_broker_stops_after_the_others(tmp_path: Path) -> None:
    with Supervisor(env=dict(os.environ), cwd=tmp_path, grace_s=5) as supervisor:
        supervisor.start(program(tmp_path, "broker", stops_last=True))
        supervisor.start(program(tmp_path, "worker"))
        until(supervisor, lambda: len(lines(tmp_path / "ready")) == 2)

    assert lines(tmp_path / "ended") == ["worker", "broker"]


def test_what_ignores_the_request_to_stop_is_killed_with_its_children(tmp_path: Path) -> None:
    with Supervisor(env=dict(os.environ), cwd=tmp_path, grace_s=0.3) as supervisor:
        supervisor.start(program(tmp_path, "worker", script=STUBBORN))
        until(supervisor, lambda: len(lines(tmp_path / "pids")) == 2)

    pids = [int(pid) for pid in lines(tmp_path / "pids")]
    eventually(lambda: not any(exists(pid) for pid in pids), what="every process being gone")


def test_ctrl_c_ends_the_wait_and_stops_everything(tmp_path: Path) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        Supervisor(env=dict(os.environ), cwd=tmp_path, grace_s=5) as supervisor,
    ):
        supervisor.start(program(tmp_path, "worker"))
        until(supervisor, lambda: lines(tmp_path / "ready"))
        os.kill(os.getpid(), signal.SIGINT)
        supervisor.run()

    assert lines(tmp_path / "ended") == ["worker"]


def test_a_start_that_takes_too_long_says_what_is_wrong(supervisor: Supervisor) -> None:
    with pytest.raises(StartError, match="no broker"):
        supervisor.wait_for(lambda: False, timeout_s=0, problem="no broker")


def test_each_line_is_printed_behind_the_name_of_its_process(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Supervisor(env={**os.environ, "WHO": "world"}, cwd=tmp_path, grace_s=5) as supervisor:
        supervisor.start(Program("web", 'sh -c "echo hello $WHO; touch done; sleep 60"'))
        until(supervisor, (tmp_path / "done").exists)

    assert any(line.endswith("web    | hello world") for line in capsys.readouterr().out.splitlines())


def test_an_end_is_told_with_its_status_or_signal() -> None:
    assert describe_status(3) == "ended with status 3"
    assert describe_status(-signal.SIGKILL) == "was ended by SIGKILL"


SUPERVISE_FOR_EVER = """
import os, sys
from pathlib import Path
from cueapi.management.supervisor import Program, Supervisor
with Supervisor(env=dict(os.environ), cwd=Path(sys.argv[2])) as supervisor:
    supervisor.start(Program("worker", sys.argv[1]))
    supervisor.run()
"""


def test_nothing_outlives_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    line = program(tmp_path, "worker").command
    supervisor = subprocess.Popen([sys.executable, "-c", SUPERVISE_FOR_EVER, str(line), tmp_path])
    eventually(lambda: lines(tmp_path / "ready"), what="the process being started")

    supervisor.kill()
    supervisor.wait()

    pid = int(lines(tmp_path / "pids")[0])
    eventually(lambda: not exists(pid), what="the process being gone")
