"""The deployment files say what the product does. Docker and systemd are not run here; docs/growing.md says so."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from honcho.environ import parse_procfile

from cueapi.conf import Settings
from executions import delivery
from tests.support.processes import ROOT

DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
PROGRAMS: dict[str, str] = parse_procfile((ROOT / "Procfile").read_text()).processes
NOT_OURS = {"WEB_CONCURRENCY", "WEB_THREADS", "HOST", "PORT", "POSTGRES_PASSWORD", "VALKEY_PASSWORD"}
STOP_S = {  # the least that each needs to end in good order
    "web": float(re.findall(r"--workers-kill-timeout (\d+)", PROGRAMS["web"])[0]),
    "worker": Settings.model_fields["worker_stop_seconds"].default + delivery.RECORDING_MAX_S,
    "beat": 5.0,
}


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def unit(path: Path) -> dict[str, str]:
    """The unit's settings, without its sections; of one that stands there twice the last."""
    return dict(line.split("=", 1) for line in path.read_text().splitlines() if re.match(r"\w+=", line))


def role(path: Path) -> str:
    return path.name.removeprefix("cueapi-").removesuffix(".service").removesuffix("@")


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_runner_runs_the_line_of_the_procfile(tmp_path: Path, name: str) -> None:
    program = PROGRAMS[name].split()[0]
    fake = tmp_path / ".venv/bin" / program
    fake.parent.mkdir(parents=True)
    fake.write_text('#!/bin/sh\necho "$0 $*"\n')
    fake.chmod(0o755)
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    shutil.copy(ROOT / "Procfile", tmp_path)

    ran = subprocess.run([tmp_path / "deploy/run", name], capture_output=True, text=True, env={"PATH": os.defpath})

    said = subprocess.run(["sh", "-c", f"echo {PROGRAMS[name]}"], capture_output=True, text=True, env={})
    assert ran.stdout.strip() == f"{fake.parent}/{said.stdout.strip()}"


def test_the_runner_names_what_it_can_run() -> None:
    ran = subprocess.run([DEPLOY / "run", "wrong"], capture_output=True, text=True)
    assert ran.returncode == 64
    assert all(name in ran.stderr for name in PROGRAMS)


# --- Compose ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROGRAMS)
def test_compose_runs_each_program_after_the_migrations(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["command"] == [name]
    assert service["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert service["restart"] == "unless-stopped"
    assert service["env_file"] == "cueapi.env"


@pytest.mark.parametrize("name", PROGRAMS)
def test_compose_gives_each_program_the_time_it_needs_to_stop(name: str) -> None:
    assert seconds(COMPOSE["services"][name]["stop_grace_period"]) >= STOP_S[name] + 5


def test_compose_runs_two_beats_and_two_workers_unless_told() -> None:
    assert COMPOSE["services"]["beat"]["deploy"]["replicas"] == "${BEATS:-2}"
    assert COMPOSE["services"]["worker"]["deploy"]["replicas"] == "${WORKERS:-2}"


@pytest.mark.parametrize("name", ["web", "postgres", "valkey"])
def test_compose_asks_how_what_has_a_door_does(name: str) -> None:
    assert COMPOSE["services"][name]["healthcheck"]["test"]


def test_compose_holds_no_secret_and_shows_the_data_to_this_machine_only() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    assert not re.search(r"(PASSWORD|SECRET\w*)[\"']?\s*[:=]\s*[\"']?[a-zA-Z0-9]", text)
    for name in ("postgres", "valkey"):
        assert all(port.startswith("${DATA_BIND:-127.0.0.1}:") for port in COMPOSE["services"][name]["ports"])


def test_the_image_has_all_that_it_copies_and_runs_as_nobody_special() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    copied = [word for line in lines if re.match(r"COPY (?!--from)", line) for word in line.split()[1:-1]]
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert copied
    assert all((ROOT / name).exists() and f"!{name}" in ignored for name in copied)
    assert lines.index("USER cueapi") > max(i for i, line in enumerate(lines) if line.startswith(("RUN", "COPY")))


# --- systemd ----------------------------------------------------------------------------------------------------


def test_each_program_has_its_unit() -> None:
    assert {role(path) for path in UNITS} == set(PROGRAMS)


@pytest.mark.parametrize("path", UNITS, ids=role)
def test_a_unit_runs_its_program_and_gives_it_the_time_it_needs_to_stop(path: Path) -> None:
    it = unit(path)
    assert it["ExecStart"] == f"/opt/cueapi/deploy/run {role(path)}"
    assert (it["KillSignal"], it["KillMode"], it["Restart"]) == ("SIGTERM", "mixed", "always")
    assert float(it["TimeoutStopSec"]) >= STOP_S[role(path)] + 5


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed: apt-get install systemd")
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    there = []
    for path in UNITS:
        copy = tmp_path / path.name.replace("@", "@1")
        copy.write_text(path.read_text().replace("/opt/cueapi", str(ROOT)))
        there.append(copy)

    checked = subprocess.run(["systemd-analyze", "verify", "--man=no", *there], capture_output=True, text=True)

    complaints = [line for line in checked.stderr.splitlines() if "cueapi-" in line]
    assert (complaints, checked.returncode) == ([], 0)


# --- The environment --------------------------------------------------------------------------------------------


def test_the_example_names_settings_there_are_and_holds_no_secret() -> None:
    lines = (DEPLOY / "cueapi.env.example").read_text().splitlines()
    pairs = [line.removeprefix("#").split("=", 1) for line in lines if re.match(r"#?[A-Z_]+=", line)]
    known = {name.upper() for name in Settings.model_fields} | NOT_OURS
    assert {name for name, _ in pairs} <= known
    for name, value in pairs:
        assert not re.search(r"[\"'$]", value), f"{name}: compose and systemd read quotes and dollars differently"
        if re.search("PASSWORD|SECRET|_URL", name) and name != "BASE_URL":
            assert "change-me" in value


def test_the_pool_has_a_connection_for_each_thread_of_a_worker() -> None:
    fields = Settings.model_fields
    assert fields["database_pool_size"].default > fields["worker_threads"].default
