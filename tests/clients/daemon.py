"""The published worker daemon: its configuration file, and how a test runs it."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.clients.account import Account
from tests.clients.home import Home, Running

PROGRAM = "cueapi-worker"


class Daemon:
    """A worker with its own configuration file in `home`. It polls and beats far more often than by default."""

    def __init__(
        self, home: Home, account: Account, handlers: Mapping[str, Any], *, worker_id: str = "w-1", **fields: Any
    ) -> None:
        self.home = home
        self.config = home.folder / f"{worker_id}.yaml"
        settings = {
            "api_key": account.api_key,
            "api_base": account.base_url,
            "worker_id": worker_id,
            "poll_interval": 0.2,
            "heartbeat_interval": 0.5,
            "handlers": dict(handlers),
        }
        self.config.write_text(json.dumps(settings | fields))  # JSON is YAML

    @contextmanager
    def started(self) -> Iterator[Running]:
        """`cueapi-worker start`, once it polls."""
        with self.home.running(PROGRAM, "start", "--config", str(self.config), "--verbose") as running:
            running.says("Heartbeat sent")
            yield running

    def run(self, command: str, *words: str) -> str:
        """Another command with this configuration, which must work; what it printed."""
        done = self.home.run(PROGRAM, command, "--config", str(self.config), *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def refuses(self, command: str) -> str:
        """A command that must fail; what it printed."""
        done = self.home.run(PROGRAM, command, "--config", str(self.config))
        assert done.returncode == 1, done.stdout + done.stderr
        return done.stdout + done.stderr

    @property
    def api_key(self) -> str:
        """The key in its file now."""
        found = re.search(r"cue_sk_[0-9a-f]{32}", self.config.read_text())
        assert found is not None
        return found[0]


def waits_for(path: Path) -> str:
    """A handler that works until the file is there."""
    return f"until [ -e '{path}' ]; do sleep 0.05; done; echo released"
