"""Ids and secrets of every kind (contract 1.2), and how ids that come in are read."""

import secrets
import string
import uuid

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
    """Like `parse_uuid`, also for the alias form `exec_<uuid>`."""
    return parse_uuid(text.removeprefix("exec_"))
