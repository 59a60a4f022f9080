"""Finding an API key: the one given, the one that the first `make up` kept, or that of a new account."""

import secrets
from pathlib import Path

import requests

from cueapi.management.demo.problems import DemoError, Refused
from cueapi.management.demo.server import Server
from cueapi.management.first_login import FILE_NAME


def log_in(server: Server, *, given_key: str, var_dir: Path | None) -> str:
    """Give `server` a key that works; whose it is, in words. Raises DemoError when there is none.

    `var_dir` is None for a server that is not ours: it must not see the key that is kept there.
    """
    if given_key:
        if not _accepts(server, given_key):
            raise DemoError("The server does not know the API key given. Check --key and CUEAPI_KEY.")
        return "the API key given"
    kept_key = _kept_key(var_dir / FILE_NAME) if var_dir else ""
    if kept_key and _accepts(server, kept_key):
        return f"the API key in {FILE_NAME}"
    return _register(server)


def _kept_key(path: Path) -> str:
    """The line API_KEY of the file; empty when there is none."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return ""
    return next((line.removeprefix("API_KEY=") for line in lines if line.startswith("API_KEY=")), "")


def _accepts(server: Server, api_key: str) -> bool:
    server.use_key(api_key)
    try:
        server.get("/v1/auth/me")
    except Refused as refusal:
        if refusal.status == requests.codes.unauthorized:
            return False
        raise
    return True


def _register(server: Server) -> str:
    server.use_key("")
    email = f"demo-{secrets.token_hex(4)}@example.com"
    try:
        made = server.post("/v1/auth/register", {"email": email})
    except Refused as refusal:
        if refusal.status == requests.codes.not_found:
            raise DemoError("No API key, and registration is closed here. Give one with --key or CUEAPI_KEY.") from None
        raise
    server.use_key(made["api_key"])
    return f"a new account, {email}"
