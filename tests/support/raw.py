"""Receivers that speak as no receiver should: what a `RawServer` does with each of its connections."""

import re
import socket
import threading
from collections.abc import Callable

Behaviour = Callable[[socket.socket], object]

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def read_request(sock: socket.socket) -> bytes:
    """One request, head and body; empty when the client has gone."""
    data = b""
    while b"\r\n\r\n" not in data or len(data) < _size(data):
        piece = sock.recv(65536)
        if not piece:
            return b""
        data += piece
    return data


def _size(data: bytes) -> int:
    head, separator, _ = data.partition(b"\r\n\r\n")
    length = LENGTH.search(head)
    return len(head + separator) + (int(length[1]) if length else 0)


def raw_reply(reply: bytes) -> Behaviour:
    """Answer one request with exactly these bytes, then close."""

    def behave(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(reply)

    return behave


def endless(start: bytes, piece: bytes, *, pace_s: float = 0.0) -> Behaviour:
    """Answer with `start`, then with `piece` again and again until the client hangs up."""

    def behave(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(start)
        while not threading.Event().wait(pace_s):
            sock.sendall(piece)

    return behave


class Flood:
    """Answers with `start`, then with `piece` as fast as it goes. Counts what it got rid of until nobody took more."""

    def __init__(self, start: bytes, piece: bytes) -> None:
        self.start, self.piece = start, piece
        self.sent_bytes = 0
        self.cut_off = threading.Event()  # the client has hung up

    def __call__(self, sock: socket.socket) -> None:
        read_request(sock)
        try:
            sock.sendall(self.start)
            while True:
                self.sent_bytes += sock.send(self.piece)
        except OSError:
            self.cut_off.set()


def reset(sock: socket.socket) -> None:
    """End the connection without a farewell, and lose what was not sent yet."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    sock.close()
