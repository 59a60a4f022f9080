"""Log lines, one per event: time, level, logger, `noun.verb_past`, then facts; as key=value, or as JSON (LOG_FORMAT).

Which request, account, cue and execution a line is about, whoever is at work on them says once, and each line has it.
"""

import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
_about: ContextVar[Mapping[str, str]] = ContextVar("about", default={})  # noqa: B039  never changed, only replaced

MASK = "***"
FACT_MAX_CHARS = 64  # of an id that a caller gave
SECRET_NAMES = frozenset({"authorization", "api_key", "password", "secret", "signature", "token", "cookie"})
SECRETS = re.compile(r"(cue_sk_|whsec_|[Bb]earer )[A-Za-z0-9+/=._~-]{4,}")

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "request",
    "status_code",
    "data",
}


# --- What lines are about ---------------------------------------------------------------------------------------


@contextmanager
def about(**facts: object) -> Iterator[None]:
    """Within the block each line tells these facts: `account`, `cue`, `execution`."""
    token = _about.set({**_about.get(), **_ids(facts)})
    try:
        yield
    finally:
        _about.reset(token)


def note(**facts: object) -> None:
    """The same for the rest of the block that this is in, such as a request once its account is known."""
    _about.set({**_about.get(), **_ids(facts)})


def _ids(facts: Mapping[str, object]) -> dict[str, str]:
    return {name: str(fact)[:FACT_MAX_CHARS] for name, fact in facts.items() if fact}


# --- How they look ----------------------------------------------------------------------------------------------


def facts_of(record: logging.LogRecord) -> dict[str, Any]:
    """The record's own facts, then what it is about, without secrets."""
    facts = {key: value for key, value in vars(record).items() if key not in _STANDARD and value != ""}
    around = {**_about.get(), **({"request_id": request_id.get()} if request_id.get() else {})}
    facts |= {name: value for name, value in around.items() if name not in facts}
    return {name: MASK if name.lower() in SECRET_NAMES else _masked(value) for name, value in facts.items()}


def _masked(value: Any) -> Any:
    """The value, with keys and secrets of ours in it made unreadable."""
    if isinstance(value, bool | int | float | type(None)):
        return value
    return mask(str(value))


def mask(text: str) -> str:
    return SECRETS.sub(rf"\1{MASK}", text)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class LineFormatter(logging.Formatter):
    """`2031-05-04T09:00:00.123Z INFO executions.delivery delivery.attempted execution=… status=200`"""

    def format(self, record: logging.LogRecord) -> str:
        pairs = "".join(f" {key}={_plain(value)}" for key, value in facts_of(record).items())
        line = f"{_time(record)} {record.levelname} {record.name} {mask(record.getMessage())}{pairs}"
        return f"{line}\n{mask(self.formatException(record.exc_info))}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object on one line: `at`, `level`, `logger`, `event`, the facts, and `exception` where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        head = {"at": _time(record), "level": record.levelname, "logger": record.name}
        line = {**facts_of(record), **head, "event": mask(record.getMessage())}
        if record.exc_info:
            line["exception"] = mask(self.formatException(record.exc_info))
        return json.dumps({name: line[name] for name in sorted(line, key=_place)}, ensure_ascii=False)


def _place(name: str) -> int:
    first = ("at", "level", "logger", "event")
    return first.index(name) if name in first else len(first)


def _plain(value: object) -> str:
    """The value on one line; quoted where it holds spaces, quotes or control characters."""
    text = str(value)
    return text if text.isprintable() and " " not in text and '"' not in text else json.dumps(text)
