"""Ids and secrets of every kind (contract 1.2), and how ids that come in are read."""

import re
import secrets
import string
import uuid

NAMED_EXECUTION = re.compile(r"exec_[A-Za-z0-9_-]{1,64}")
NAMED_EXECUTIONS = uuid.UUID("5a0e9a3e-6f0d-5c6e-9b52-9d2a4f3f0c11")
CUE_ALPHABET = string.ascii_lowercase + string.digits


def cue_id() -> str:
    return "cue_" + "".join(secrets.choice(CUE_ALPHABET) for _ in range(12))


def api_key() -> str:
    return "cue_sk_" + secrets.token_hex(16)


def webhook_secret() -> str:
    return "whsec_" + secrets.token_hex(32)


def alert_secret() -> str:
    return secrets.token_hex(32)


def parse_uuid(text: str) -> uuid.UUID | None:
    """The UUID that `text` spells as answers do, or None: path ids are opaque, a bad one is just not found."""
    try:
        parsed = uuid.UUID(text)
    except ValueError:
        return None
    return parsed if str(parsed) == text else None


def parse_execution_id(text: str) -> uuid.UUID | None:
    """Like `parse_uuid`, also for the alias form `exec_<uuid>`; any other `exec_` name stands for one UUID of its own.

    Nothing has such an id but what `manage.py article` makes, so that the article's `exec_123` can exist.
    """
    parsed = parse_uuid(text.removeprefix("exec_"))
    return parsed or (uuid.uuid5(NAMED_EXECUTIONS, text) if NAMED_EXECUTION.fullmatch(text) else None)
