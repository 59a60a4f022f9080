"""The test's end of drivers/sdk.py: a call of the published SDK, its answer, or the error it raised."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.clients.account import Account
from tests.clients.home import client_environment

DRIVER = Path(__file__).parent / "drivers" / "sdk.py"
STOP_S = 10


@dataclass
class Refused(Exception):
    """The SDK raised: `kind` is the class, `status` and `code` are what it read from the answer."""

    kind: str
    status: int
    code: str
    message: str
    retry_after: int | None


class Sdk:
    """One client of the SDK in a process of its own, run from `folder`: `sdk.call("cues.get", cue_id=…)`."""

    def __init__(self, folder: Path, programs: Path, account: Account, *, api_key: str | None = None) -> None:
        self._errors = open(folder / "sdk.log", "w+")  # noqa: SIM115  closed in __exit__
        self._process = subprocess.Popen(
            [programs / "python", DRIVER],
            cwd=folder,
            env={
                **client_environment(folder, programs),
                "BASE_URL": account.base_url,
                "API_KEY": api_key or account.api_key,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def call(self, name: str, /, **keywords: Any) -> Any:
        """What the SDK returned, models as dicts. Raises Refused with what it raised."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"call": name, "keywords": keywords}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the driver ended:\n{self._printed_errors()}"
        answer = json.loads(line)
        if "error" in answer:
            raise Refused(**answer["error"])
        return answer["result"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        try:
            self._process.communicate(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        self._errors.close()

    def _printed_errors(self) -> str:
        self._process.wait(timeout=STOP_S)
        self._errors.seek(0)
        return self._errors.read()
