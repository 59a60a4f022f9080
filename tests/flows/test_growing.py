"""docs/growing.md: an installation of one machine moves to PostgreSQL as printed, and goes on there."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.proofs.client import Client
from tests.support.deadline import eventually
from tests.support.postgres import running_postgres
from tests.support.processes import NAMES, ROOT, Installation
from tests.support.receiver import Receiver

PAGE = (ROOT / "docs/growing.md").read_text()
RUN_NOW = {"type": "one-time", "at": None}
YEARLY = {"type": "recurring", "cron": "0 9 1 1 *", "timezone": "Europe/Paris"}


def printed_move() -> list[str]:
    """The commands of the chapter on moving, without their prompts."""
    chapter = PAGE.split("## From one machine to PostgreSQL")[1].split("\n## ")[0]
    block = re.findall(r"```console\n(.*?)```", chapter, re.DOTALL)[0]
    return [line.removeprefix("$ ") for line in block.replace("\\\n", "").splitlines() if line.startswith("$ ")]


@pytest.mark.processes
def test_an_installation_moves_to_postgresql_as_printed(receiver: Receiver, tmp_path: Path) -> None:
    with Installation() as it, running_postgres() as url:
        for name in NAMES:
            it.start(name)
        with Client(it) as client:
            before = tell(client, receiver)
        for name in ("web", "worker", "beat"):
            it.stop(name)

        for command in printed_move():
            run_printed(command, it, url=url, folder=tmp_path)
        it.environment["DATABASE_URL"] = url
        for name in ("web", "worker", "beat"):
            it.start(name)
        with Client(it) as client:
            after = told(client)
            client.create_cue("after", RUN_NOW, receiver.url)
            eventually(lambda: len(receiver.received) == 2, within_s=20, what="a delivery after the move")

    assert after == before


def tell(client: Client, receiver: Receiver) -> dict[str, object]:
    """Make what has to survive: a cue that ran, one that waits, their account's secret."""
    client.create_cue("waits", YEARLY, receiver.url)
    ran = client.create_cue("ran", RUN_NOW, receiver.url)
    eventually(lambda: client.get(f"/v1/cues/{ran['id']}")["status"] == "completed", within_s=20, what="its run")
    return told(client)


def told(client: Client) -> dict[str, object]:
    runs = [client.get(f"/v1/executions/{run['id']}") for run in client.executions()]
    cues = client.get("/v1/cues")["cues"]
    return {
        "secret": client.webhook_secret(),
        "runs": [(run["id"], run["status"], len(run["attempt_log"])) for run in runs],
        "cues": sorted((cue["id"], cue["name"], cue["status"], cue["next_run"]) for cue in cues),
    }


def run_printed(command: str, it: Installation, *, url: str, folder: Path) -> None:
    """A printed command, with our database in place of the printed one and its file in our folder."""
    ours = re.sub(r"postgres://\S+", url, command).replace("cueapi.json.gz", str(folder / "cueapi.json.gz"))
    environment = {name: value for name, value in it.environment.items() if name != "DATABASE_URL"}
    done = subprocess.run(ours, shell=True, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{ours}{os.linesep}{done.stdout}{done.stderr}"
