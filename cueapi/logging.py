"""One line per event: time, level, logger, `noun.verb_past`, then the facts as key=value."""

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "request",
    "status_code",
    "data",
}


class LineFormatter(logging.Formatter):
    """`2031-05-04T09:00:00.123Z INFO executions.delivery delivery.attempted execution=… status=200`"""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        facts = {key: value for key, value in vars(record).items() if key not in _STANDARD and value != ""}
        if request_id.get() and "request_id" not in facts:
            facts["request_id"] = request_id.get()
        pairs = "".join(f" {key}={_plain(value)}" for key, value in facts.items())
        line = f"{at} {record.levelname} {record.name} {record.getMessage()}{pairs}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _plain(value: object) -> str:
    """The value on one line; quoted where it holds spaces, quotes or control characters."""
    text = str(value)
    return text if text.isprintable() and " " not in text and '"' not in text else json.dumps(text)
