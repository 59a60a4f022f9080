"""The code blocks of a page of documentation, so that tests run what readers paste."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import curl
from tests.support.api import Api

ROOT = Path(__file__).resolve().parent.parent.parent
KEY = "cue_sk_your_key"


@dataclass(frozen=True)
class Page:
    """`Page("docs/webhooks.md").curl("/regenerate")` is the one command whose URL holds those words."""

    path: str

    def blocks(self, language: str) -> list[str]:
        return re.findall(rf"```{language}\n(.*?)```", (ROOT / self.path).read_text(), re.DOTALL)

    def curl(self, words: str) -> str:
        commands = [block.strip().removeprefix("$ ") for block in self.blocks("console")]
        (command,) = [one for one in commands if one.startswith("curl ") and words in one]
        return command

    def python(self, name: str) -> Any:
        """What the page's Python defines under this name."""
        names: dict[str, Any] = {}
        (code,) = [block for block in self.blocks("python") if f"def {name}(" in block]
        exec(code, names)
        return names[name]


def send(api: Api, command: str, **placeholders: str) -> Any:
    """Send a printed command with this account's key; each placeholder becomes its value."""
    for name, value in {KEY: str(api.key), **placeholders}.items():
        command = command.replace(name, value)
    call = curl.parse(command)
    return api.send(call.method, call.path_and_query, call.body, **dict(call.headers))
