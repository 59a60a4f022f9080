"""The receivers of the test's webhooks: real sockets on loopback, a port for each kind, and a record of what came.

A door: it reads the clock when a request arrives.
"""

import contextlib
import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any, Self

from cueapi import clock
from cueapi.management.demo.receiver import is_genuine
from cueapi.management.selftest.facts import Request
from cueapi.management.selftest.kinds import FAILS_FIRST, HANG_S, KINDS

POLL_S = 0.05
CLAIMED_BYTES = 1000
DRIPPED_BYTES = 60
HEADERS_PER_BURST = 20
HEADERS_PAUSE_S = 0.01
FOLLOWED = "/followed"  # where the redirect leads


class Receivers:
    """A context manager: they listen for as long as it is entered. `requests` is all that came so far."""

    def __init__(self, webhook_secret: str) -> None:
        self.webhook_secret = webhook_secret
        self.requests: list[Request] = []
        self.strayed = 0  # requests that are no webhook of a cue
        self.stopping = threading.Event()
        self._servers = {kind.name: _Server(self, kind.name) for kind in KINDS}
        self._threads = [
            threading.Thread(target=server.serve_forever, args=(POLL_S,), daemon=True)
            for server in self._servers.values()
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stopping.set()
        for server in self._servers.values():
            server.shutdown()
            server.server_close()

    def url(self, kind: str) -> str:
        return f"http://127.0.0.1:{self._servers[kind].port}/hook"


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, receivers: Receivers, kind: str) -> None:
        self.receivers = receivers
        self.kind = kind
        super().__init__(("127.0.0.1", 0), _Handler)
        self.port = int(self.server_address[1])

    def shutdown_request(self, request: Any) -> None:
        """Close, and nothing before it: a connection that is to be reset must not end politely."""
        self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: a sender that was killed or that gave up is what the test is about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body in one packet
    server: _Server

    def do_POST(self) -> None:
        arrived_at = clock.now()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        if self.path == FOLLOWED or "x-cueapi-execution-id" not in headers:
            self._stray()
            return
        request = self._record(headers, body, arrived_at)
        with contextlib.suppress(OSError):  # the sender has gone
            ANSWERS[self.server.kind](self, request)

    def do_GET(self) -> None:
        self._stray()

    def _stray(self) -> None:
        self.server.receivers.strayed += 1
        self.answer(404)

    def _record(self, headers: Mapping[str, str], body: bytes, arrived_at: datetime) -> Request:
        receivers, kind, attempt = self.server.receivers, self.server.kind, int(headers["x-cueapi-attempt"])
        request = Request(
            kind=kind,
            execution_id=headers["x-cueapi-execution-id"],
            cue_id=headers["x-cueapi-cue-id"],
            attempt=attempt,
            due_at=datetime.fromisoformat(headers["x-cueapi-scheduled-for"]),
            arrived_at=arrived_at,
            accepted=accepts(kind, attempt),
            is_signed=is_genuine(receivers.webhook_secret, headers, body, now=arrived_at),
        )
        receivers.requests.append(request)
        return request

    def answer(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": "0"}.items():
            self.send_header(name, value)
        self.end_headers()

    def raw(self, text: str) -> None:
        """Send these bytes at once, whatever they mean."""
        self.wfile.write(text.encode("latin-1"))
        self.wfile.flush()

    def pause(self, seconds: float) -> bool:
        """Wait; whether the test goes on."""
        return not self.server.receivers.stopping.wait(seconds)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the report says more."""


# --- How each kind answers --------------------------------------------------------------------------------------


def accepts(kind: str, attempt: int) -> bool:
    """Whether this attempt is answered 2xx, completely and in time."""
    return kind == "healthy" or (kind == "recovers" and attempt > FAILS_FIRST)


def _well(handler: _Handler, request: Request) -> None:
    handler.answer(200 if request.accepted else 500)


def _late(handler: _Handler, request: Request) -> None:
    if handler.pause(HANG_S):
        handler.answer(200)


def _reset(handler: _Handler, request: Request) -> None:
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True


def _elsewhere(handler: _Handler, request: Request) -> None:
    handler.answer(302, Location=FOLLOWED)


def _short(handler: _Handler, request: Request) -> None:
    handler.raw(f"HTTP/1.1 200 OK\r\nContent-Length: {CLAIMED_BYTES}\r\n\r\nnot that many")
    handler.close_connection = True


def _drip(handler: _Handler, request: Request) -> None:
    handler.close_connection = True
    handler.raw(f"HTTP/1.1 200 OK\r\nContent-Length: {DRIPPED_BYTES}\r\n\r\n")
    for _ in range(DRIPPED_BYTES):
        handler.raw(".")
        if not handler.pause(1.0):
            return


def _flood(handler: _Handler, request: Request) -> None:
    handler.close_connection = True
    handler.raw("HTTP/1.1 200 OK\r\n")
    while handler.pause(HEADERS_PAUSE_S):
        handler.raw("X-And-Another: one\r\n" * HEADERS_PER_BURST)


ANSWERS: Mapping[str, Callable[[_Handler, Request], None]] = {
    "healthy": _well,
    "recovers": _well,
    "hangs": _late,
    "resets": _reset,
    "redirects": _elsewhere,
    "lies": _short,
    "drips": _drip,
    "floods": _flood,
}
