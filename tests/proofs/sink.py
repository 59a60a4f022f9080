"""Receivers that cost next to nothing, in a process of their own: `python -m tests.proofs.sink COUNT`.

Prints its ports as JSON once it listens. Each answers every request with 200 at once; one more, the last, never
answers. A GET of /seen on any of the others answers with what came since the last such GET, as `Seen` rows.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import requests

from tests.support.processes import ROOT

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"


class Seen(NamedTuple):
    """One request. Times are Unix seconds; `due_at` is 0 for a request that is no delivery."""

    port: int
    at: float
    due_at: float

    @property
    def late_ms(self) -> float:
        return (self.at - self.due_at) * 1000


class Connection(asyncio.Protocol):
    """Reads whole requests, and answers each at once, or never."""

    def __init__(self, seen: list[Seen], *, answers: bool) -> None:
        self._seen, self._answers = seen, answers
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._port = transport, transport.get_extra_info("sockname")[1]

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head, size = self._buffer[:end], end + 4
            size += int(_header(head, b"content-length") or 0)
            if len(self._buffer) < size:
                return
            self._buffer = self._buffer[size:]
            self._take(head)

    def _take(self, head: bytes) -> None:
        if head.startswith(b"GET /seen "):
            body = json.dumps(self._seen).encode()
            self._seen.clear()
            self._transport.write(JSON % (len(body), body))
            return
        due_at = _header(head, b"x-cueapi-scheduled-for")
        self._seen.append(Seen(self._port, time.time(), datetime.fromisoformat(due_at).timestamp() if due_at else 0.0))
        if self._answers:
            self._transport.write(OK)


def _header(head: bytes, name: bytes) -> str:
    start = head.lower().find(b"\r\n" + name + b":")
    return head[start + len(name) + 3 :].split(b"\r\n", 1)[0].strip().decode() if start >= 0 else ""


async def serve(count: int) -> None:
    seen: list[Seen] = []
    loop, ports = asyncio.get_running_loop(), []
    for number in range(count + 1):
        answers = number < count
        server = await loop.create_server(lambda a=answers: Connection(seen, answers=a), "127.0.0.1", 0, backlog=512)
        ports.append(server.sockets[0].getsockname()[1])
    print(json.dumps(ports), flush=True)
    await asyncio.Event().wait()


@dataclass(frozen=True)
class Sink:
    """The receivers, seen from outside."""

    healthy: Sequence[int]  # ports
    hanging: int

    def seen(self) -> Sequence[Seen]:
        """What came since this was last asked."""
        answer = requests.get(f"{url_of(self.healthy[0])}/seen", timeout=30)
        return [Seen(*row) for row in answer.json()]


def url_of(port: int) -> str:
    return f"http://127.0.0.1:{port}"


@contextmanager
def sinks(count: int) -> Iterator[Sink]:
    words = [sys.executable, "-m", "tests.proofs.sink", str(count)]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        *healthy, hanging = json.loads(process.stdout.readline())
        yield Sink(healthy, hanging)
    finally:
        process.kill()
        process.communicate()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
