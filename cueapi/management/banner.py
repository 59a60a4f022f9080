"""What `manage.py up` prints once everything answers: where it is, how to come in, what to paste."""

import json
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from cueapi.management.first_login import FILE_NAME, FirstLogin

RECEIVER_PORT = 9000
HELLO_CUE = {
    "name": "hello",
    "schedule": {"type": "one-time", "at": None},
    "callback": {"url": f"http://localhost:{RECEIVER_PORT}/hook"},
    "payload": {"message": "It works"},
}


@dataclass(frozen=True)
class Installation:
    """What the banner tells of. `login` is None when nobody kept it."""

    base_url: str
    var_dir: Path
    manage_py: Path
    login: FirstLogin | None
    key_works: bool


def render(it: Installation) -> str:
    return "\n".join(["", *_places(it), "", *_first_steps(it), "", "Ctrl-C stops everything; the data stays.", ""])


def _places(it: Installation) -> list[str]:
    lines = [
        f"CueAPI runs at {it.base_url}",
        "",
        f"  Docs      {it.base_url}/docs",
        f"  Admin     {it.base_url}/admin/",
    ]
    if it.login is None:
        return [*lines, "  Log in with the account and the key you made before."]
    lines += [f"  Login     {it.login.email}", f"  Password  {it.login.admin_password}"]
    lines += [f"  API key   {_key(it)}", f"  (as made at the first start; kept in {it.var_dir / FILE_NAME})"]
    return lines


def _key(it: Installation) -> str:
    if it.login is None:
        return "$CUEAPI_KEY"
    return it.login.api_key if it.key_works else f"{it.login.api_key}  replaced since; use the new one"


def _first_steps(it: Installation) -> list[str]:
    return [
        "Try it. In a second terminal, wait for webhooks:",
        "",
        f"  {_receive_command(it)}",
        "",
        "and in a third, make a cue that runs now:",
        "",
        f"  {_curl(it)}",
    ]


def _receive_command(it: Installation) -> str:
    words = [sys.executable, str(it.manage_py), "receive"]
    prefix = f"VAR_DIR={shlex.quote(str(it.var_dir))} " if os.environ.get("VAR_DIR") else ""
    return prefix + shlex.join(words)


def _curl(it: Installation) -> str:
    key = it.login.api_key if it.login and it.key_works else "YOUR_API_KEY"
    headers = f"-H 'Authorization: Bearer {key}' -H 'Content-Type: application/json'"
    return f"curl -X POST {it.base_url}/v1/cues {headers} -d {shlex.quote(json.dumps(HELLO_CUE))}"
