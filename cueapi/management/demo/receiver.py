"""The demo's own receiver of webhooks: it answers as each scene wants and checks every signature.

A door: it reads the clocks when a call arrives, and everything else takes the time from the call.
"""

import hmac
import json
import queue
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from cueapi import clock
from cueapi.signing import signature

FRESH = timedelta(seconds=300)  # contract 6.3
POLL_S = 0.05


@dataclass(frozen=True)
class Call:
    """One webhook as it arrived, and the status it was answered with. Header names are in lower case."""

    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    status: int
    is_genuine: bool
    arrived_at: datetime
    arrived_s: float  # on the monotonic clock

    @property
    def json(self) -> dict[str, Any]:
        return dict(json.loads(self.body))

    @property
    def attempt(self) -> str:
        return self.headers.get("x-cueapi-attempt", "?")

    @property
    def execution_id(self) -> str:
        return self.headers.get("x-cueapi-execution-id", "")

    @property
    def late_ms(self) -> int:
        """Milliseconds from the instant it was scheduled for to its arrival."""
        due_at = datetime.fromisoformat(self.headers["x-cueapi-scheduled-for"])
        return round((self.arrived_at - due_at) / timedelta(milliseconds=1))


class Hook:
    """One URL of the receiver: it answers with `statuses` in turn, then with the last one for ever."""

    def __init__(self, url: str, statuses: tuple[int, ...]) -> None:
        self.url = url
        self._statuses = list(statuses)
        self._lock = threading.Lock()
        self._calls: queue.SimpleQueue[Call] = queue.SimpleQueue()

    def next_call(self, *, timeout_s: float) -> Call | None:
        """The next webhook, in order of arrival; None when there is none within the time."""
        try:
            return self._calls.get(timeout=max(0, timeout_s))
        except queue.Empty:
            return None

    def take_status(self) -> int:
        with self._lock:
            return self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0]

    def keep(self, call: Call) -> None:
        self._calls.put(call)


class Receiver(ThreadingHTTPServer):
    """A context manager: listens on a free port of 127.0.0.1 for as long as it is entered."""

    daemon_threads = True

    def __init__(self, webhook_secret: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.webhook_secret = webhook_secret
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.hooks: dict[str, Hook] = {}
        self._thread = threading.Thread(target=self.serve_forever, args=(POLL_S,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def open(self, path: str, *statuses: int) -> Hook:
        """A new URL that answers with these statuses."""
        hook = self.hooks[path] = Hook(self.url + path, statuses)
        return hook


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        arrived_at, arrived_s = clock.now(), time.monotonic()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        hook = self.server.hooks.get(self.path)
        if hook is None:
            self.send_error(404)
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        genuine = is_genuine(self.server.webhook_secret, headers, body, now=arrived_at)
        status = hook.take_status()
        hook.keep(Call(headers, body, status, genuine, arrived_at, arrived_s))
        self._answer(status)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the timeline says more."""


def is_genuine(webhook_secret: str, headers: Mapping[str, str], body: bytes, *, now: datetime) -> bool:
    """Whether our server signed these bytes, within the last five minutes. `headers` by lower-case name."""
    sent_at = headers.get("x-cueapi-timestamp", "")
    expected = signature(webhook_secret, sent_at, body)
    if not hmac.compare_digest(expected.encode(), headers.get("x-cueapi-signature", "").encode()):
        return False
    return abs(now - datetime.fromtimestamp(int(sent_at), UTC)) < FRESH
