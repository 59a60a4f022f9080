"""The other end of a webhook: a real HTTP/1.1 server on loopback that answers as told."""

import json
import socket
import socketserver
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import Any, Self

from requests.structures import CaseInsensitiveDict

HOLD_MAX_S = 30.0
POLL_S = 0.02


@dataclass(frozen=True)
class Received:
    """One request as it arrived."""

    method: str
    path: str
    headers: CaseInsensitiveDict[str]
    body: bytes
    at: datetime

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """One reply. A dict is sent as JSON; with `wait` it is held until the event is set, 30 s at most."""

    status: int = 200
    body: bytes | str | dict[str, Any] = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    wait: threading.Event | None = None

    @property
    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()


Answering = Answer | Callable[[Received], Answer]


class LoopbackServer(socketserver.ThreadingTCPServer):
    """A threaded server, on a free port unless told. It counts its connections and can hang up on them."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, handler: type[socketserver.BaseRequestHandler], port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), handler)
        self.port: int = self.server_address[1]
        self.connections = 0
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(POLL_S,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()
        self.hang_up()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self.connections += 1
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """Close every open connection from this side, idle ones too."""
        with self._lock:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # the client was first

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news; anything else is a fault of the test, so show it."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class Receiver(LoopbackServer):
    """Answers 200 unless told otherwise.

    with Receiver() as receiver:
        receiver.will_answer(Answer(500), Answer(200))
        …
        first, second = receiver.wait_for(2)
    """

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.default: Answering = Answer()
        self._answers: deque[Answering] = deque()
        self._received: list[Received] = []
        self._arrived = threading.Condition()

    @property
    def url(self) -> str:
        return self.url_for("/hook")

    def url_for(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    @property
    def received(self) -> list[Received]:
        """A copy of all requests so far, in order of arrival."""
        with self._arrived:
            return list(self._received)

    def will_answer(self, *answers: Answering) -> None:
        """Queue answers for the next requests, in order; `default` comes after them."""
        with self._arrived:
            self._answers.extend(answers)

    def wait_for(self, count: int, timeout_s: float = 5.0) -> list[Received]:
        """The requests, once there are `count` of them. Raises AssertionError with what came instead."""
        with self._arrived:
            if self._arrived.wait_for(lambda: len(self._received) >= count, timeout_s):
                return list(self._received)
            raise AssertionError(f"{count} requests wanted within {timeout_s} s, came: {self._received}")

    def answer_to(self, received: Received) -> Answer:
        """Record one request and take its answer from the queue. For the handler."""
        with self._arrived:
            answering = self._answers.popleft() if self._answers else self.default
            self._received.append(received)
            self._arrived.notify_all()
        answer = answering if isinstance(answering, Answer) else answering(received)
        if answer.wait:
            answer.wait.wait(HOLD_MAX_S)
        return answer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body in one packet
    server: Receiver

    def handle_any(self) -> None:
        answer = self.server.answer_to(self._read())
        bodiless = answer.status in (204, 304)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if not bodiless:
            self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        if not bodiless and self.command != "HEAD":
            self.wfile.write(answer.content)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = handle_any  # noqa: N815

    def _read(self) -> Received:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = CaseInsensitiveDict(self.headers.items())
        return Received(self.command, self.path, headers, body, datetime.now(UTC))

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the test shows what matters."""


class RawServer(LoopbackServer):
    """A receiver that speaks as it likes: `behave` gets the socket of each connection, in its own thread."""

    def __init__(self, behave: Callable[[socket.socket], object], port: int = 0) -> None:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                behave(self.request)

        super().__init__(Handler, port)
        self.url = f"http://127.0.0.1:{self.port}/hook"


class Dns:
    """Stands in for `socket.getaddrinfo`: known names only, and a list of what was asked.

    An address list is the answer to every question; a list of lists is one answer for each question in turn.
    """

    def __init__(self, names: dict[str, list[Any]]) -> None:
        self.names = names
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, *_: Any, **__: Any) -> list[tuple[Any, ...]]:
        self.asked.append(host)
        answer = self.names.get(host) or []
        if answer and isinstance(answer[0], list):
            answer = answer.pop(0)
        if not answer:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [self._entry(address, port) for address in answer]

    @staticmethod
    def _entry(address: str, port: int) -> tuple[Any, ...]:
        family, tail = (socket.AF_INET6, (0, 0)) if ":" in address else (socket.AF_INET, ())
        return (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, *tail))
