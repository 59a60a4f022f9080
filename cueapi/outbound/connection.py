"""Connections that go only where they may, and end when their time is up.

urllib3 asks a connection for its socket at the moment of connecting. Here that means: resolve the name once,
check all its addresses, connect to one of those very addresses. `Host` and SNI keep the name.

A time limit given to urllib3 bounds each read: a receiver that sends a byte a second holds a thread for ever.
The sockets here take what is left of one deadline before every operation instead. They also count what they
receive: endless headers, trailers, interim replies and chunk extensions are small to keep and costly to read.
"""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from cueapi.outbound.failures import BrokenReply, DeadlinePassed, TlsFailed, Unreachable
from cueapi.outbound.policy import Policy
from cueapi.outbound.reading import StrictResponse
from cueapi.outbound.resolver import Endpoint, refuse_forbidden, resolve

REPLY_MAX_BYTES = 1_048_576  # of which 64 KiB of body are read; the rest is for its head and its chunks


@dataclass
class Trip:
    """One request on its way: when it started and must end (monotonic seconds), which rules apply, what came back."""

    started: float
    timeout_s: float
    policy: Policy | None  # None: our own echo endpoint, at whatever address
    received_bytes: int = 0

    def remaining_s(self) -> float:
        """What is left of the time limit. Raises DeadlinePassed when nothing is."""
        left = self.started + self.timeout_s - time.monotonic()
        if left <= 0:
            raise self.too_late()
        return left

    def elapsed_ms(self) -> int:
        return round((time.monotonic() - self.started) * 1000)

    def too_late(self) -> DeadlinePassed:
        return DeadlinePassed(f"No complete reply within {self.timeout_s:g} s.")

    def receive(self, count: int) -> None:
        """So many bytes more have come. Raises BrokenReply when they are too many for one reply."""
        self.received_bytes += count
        if self.received_bytes > REPLY_MAX_BYTES:
            raise BrokenReply(f"The headers and chunks of the reply take more than {REPLY_MAX_BYTES} bytes.")


class _Thread(threading.local):
    trip: Trip


_thread = _Thread()


@contextmanager
def travelling(trip: Trip) -> Iterator[None]:
    """Every connection and socket operation of this thread belongs to `trip`."""
    _thread.trip = trip
    try:
        yield
    finally:
        del _thread.trip


@contextmanager
def _in_time(sock: socket.socket) -> Iterator[None]:
    trip = _thread.trip
    sock.settimeout(trip.remaining_s())
    try:
        yield
    except TimeoutError as error:
        raise trip.too_late() from error


class TimedSocket(socket.socket):
    """A socket whose every operation ends with the trip: a timeout bounds each call here as a whole."""

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        with _in_time(self):
            count = super().recv_into(*args, **kwargs)
        _thread.trip.receive(count)
        return count

    def send(self, *args: Any, **kwargs: Any) -> int:
        with _in_time(self):
            return super().send(*args, **kwargs)

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        with _in_time(self):
            super().sendall(*args, **kwargs)


class TimedTlsSocket(TimedSocket, ssl.SSLSocket):
    """The same over TLS."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            with _in_time(self):
                super().do_handshake(block)
        except DeadlinePassed:
            self.close()  # the ssl module closes after an OSError only
            raise


class Pinned(HTTPConnection):
    """Goes to a checked address only, and sends a request in one piece: its head waits for its body."""

    response_class = StrictResponse
    _head: bytes | None = None  # None: nothing waits, or is to wait

    def _new_conn(self) -> socket.socket:
        return _connect(self._dns_host, self.port)

    def request(self, method: str, url: str, body: Any = None, *args: Any, **kwargs: Any) -> None:
        self._head = b"" if body else None
        super().request(method, url, body, *args, **kwargs)

    def send(self, data: Any) -> None:
        if self._head == b"":
            self._head = data
            return
        head, self._head = self._head or b"", None
        super().send(head + data)


class PinnedConnection(Pinned):
    """Plain HTTP."""


class PinnedTlsConnection(Pinned, HTTPSConnection):
    """HTTPS."""

    def connect(self) -> None:
        try:
            super().connect()
        except (OSError, ValueError) as error:  # what precedes the handshake raises neither
            raise TlsFailed(f"The TLS connection to {self.host} failed: {_tls_reason(error)}.") from error


class PinnedPool(urllib3.HTTPConnectionPool):
    ConnectionCls = PinnedConnection


class PinnedTlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = PinnedTlsConnection


class PinnedPoolManager(urllib3.PoolManager):
    """Keeps connections alive, each to the address that was checked when it was opened."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pool_classes_by_scheme = {"http": PinnedPool, "https": PinnedTlsPool}


def _connect(host: str, port: int) -> socket.socket:
    trip = _thread.trip
    endpoints = resolve(host, port, timeout_s=trip.remaining_s())
    if trip.policy:
        refuse_forbidden(host, endpoints, trip.policy)
    return _first_to_answer(host, port, endpoints)


def _first_to_answer(host: str, port: int, endpoints: list[Endpoint]) -> socket.socket:
    """Try the addresses in turn, each with its share of the time: one black hole must not take it all."""
    trip, failure = _thread.trip, OSError("no address")
    for untried, endpoint in zip(range(len(endpoints), 0, -1), endpoints, strict=True):
        try:
            return _open(endpoint, timeout_s=trip.remaining_s() / untried)
        except OSError as error:
            failure = error
    if isinstance(failure, TimeoutError):
        raise trip.too_late() from failure
    reason = failure.strerror or "connection failed"
    raise Unreachable(f"Could not connect to {host}, port {port}: {reason[:1].lower()}{reason[1:]}.") from failure


def _open(endpoint: Endpoint, *, timeout_s: float) -> socket.socket:
    sock = TimedSocket(endpoint.family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(timeout_s)
        sock.connect(endpoint.sockaddr)
    except OSError:
        sock.close()
        raise
    return sock


def _tls_reason(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message.rstrip(".")
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    return "the receiver broke off the handshake"
