"""Receivers that lie, or want to keep us busy: each costs a bounded time, a bounded memory, and no other receiver.

Time and bytes that a slow receiver takes are in test_outbound_send.py; here they come as fast as loopback is.
"""

import gzip
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cueapi.outbound import OutboundRequest, Reply, SendError, send
from cueapi.outbound.connection import REPLY_MAX_BYTES
from tests.support.raw import Behaviour, Flood, raw_reply, read_request, reset
from tests.support.receiver import RawServer

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
GIB = b"Content-Length: 1073741824\r\n\r\n"
BLOCK = b"x" * 65_536

PATIENCE_S = 30.0  # what the request may take: never the reason that it ends here
SOON_S = 10.0  # on a machine that is busy
MEMORY_MAX_BYTES = 8 * 1024 * 1024
IN_BUFFERS_MAX_BYTES = 32 * 1024 * 1024  # what the system takes from a sender before anybody reads it


def post(url: str, *, body: bytes = b"{}", timeout_s: float = PATIENCE_S) -> Reply:
    return send(OutboundRequest("POST", url, {}, body, timeout_s))


def verdict(behave: Behaviour) -> str | int:
    """The status of the reply, or the stage at which the request failed."""
    with RawServer(behave) as server:
        try:
            return post(server.url).status
        except SendError as error:
            assert error.message.endswith(".")
            return error.stage


# --- Too much ---------------------------------------------------------------------------------------------------

FLOODS = [
    pytest.param(Flood(OK + GIB, BLOCK), 200, id="a body of 1 GiB"),
    pytest.param(Flood(OK + b"\r\n", BLOCK), 200, id="a body without an end"),
    pytest.param(Flood(b"HTTP/1.1 500 No\r\n" + GIB, BLOCK), 500, id="a body of 1 GiB with a failure"),
    pytest.param(Flood(b"HTTP/1.1 302 Found\r\nLocation: /\r\n" + GIB, BLOCK), 302, id="a redirect with 1 GiB"),
    pytest.param(Flood(CHUNKED + b"7FFFFFFF\r\n", BLOCK), 200, id="a chunk of 2 GiB"),
    pytest.param(Flood(CHUNKED + b"F" * 16 + b"\r\n", BLOCK), 200, id="a chunk of 16 EiB"),
    pytest.param(Flood(CHUNKED, b"1\r\na\r\n" * 1000), 200, id="chunks of one byte"),
    pytest.param(Flood(CHUNKED + b"F" * 4096, b"F" * 1000), "reply", id="a chunk size without an end"),
    pytest.param(Flood(CHUNKED + b"-1\r\n", BLOCK), "reply", id="a chunk of -1, which some read to the end"),
    pytest.param(Flood(CHUNKED, b"1;" + b"e" * 3000 + b"\r\na\r\n"), "reply", id="chunks that are all extension"),
    pytest.param(Flood(CHUNKED + b"0\r\n", b"X: y\r\n" * 1000), "reply", id="trailers without end"),
    pytest.param(Flood(CHUNKED + b"0\r\nX: ", BLOCK), "reply", id="a trailer without end"),
    pytest.param(Flood(OK, b"X: y\r\n" * 1000), "reply", id="header lines without end"),
    pytest.param(Flood(OK, (b"X: " + b"y" * 60_000 + b"\r\n")), "reply", id="long header lines without end"),
    pytest.param(Flood(OK + b"X: ", BLOCK), "reply", id="a header line without end"),
    pytest.param(Flood(b"HTTP/1.1 200 ", BLOCK), "reply", id="a status line without end"),
    pytest.param(Flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000), "reply", id="100 Continue without end"),
    pytest.param(Flood(b"", b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n" * 99), "reply", id="100 Continue with headers"),
    pytest.param(Flood(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000), 103, id="103 Early Hints without end"),
    pytest.param(Flood(b"", BLOCK), "reply", id="no HTTP at all"),
]


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.parametrize(("flood", "expected"), FLOODS)
def test_a_flood_is_cut_off_long_before_its_end(traced: None, flood: Flood, expected: str | int) -> None:
    started = time.monotonic()
    assert verdict(flood) == expected
    assert time.monotonic() - started < SOON_S
    assert tracemalloc.get_traced_memory()[1] < MEMORY_MAX_BYTES
    assert flood.cut_off.wait(5)
    assert flood.sent_bytes < IN_BUFFERS_MAX_BYTES


@pytest.mark.parametrize(
    "flood",
    [
        pytest.param(Flood(CHUNKED + b"0\r\n", b"X: y\r\n" * 1000), id="trailers"),
        pytest.param(Flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000), id="interim replies"),
    ],
)
def test_what_is_not_body_has_a_bound_of_its_own_which_the_error_names(flood: Flood) -> None:
    with RawServer(flood) as server, pytest.raises(SendError, match=f"more than {REPLY_MAX_BYTES} bytes"):
        post(server.url)


def test_a_reply_of_the_most_that_is_allowed_is_read() -> None:
    """64 KiB in chunks of one byte, as no receiver sends them, are within the bound."""
    head = CHUNKED + b"1\r\na\r\n" * 65_536 + b"0\r\n\r\n"
    with RawServer(raw_reply(head)) as server:
        reply = post(server.url)
    assert (len(reply.body), reply.truncated) == (65_536, False)


def test_the_bound_is_for_each_reply_not_for_the_connection() -> None:
    requests = 20  # of 64 KiB each

    def answer_all(sock: socket.socket) -> None:
        while read_request(sock):
            sock.sendall(OK + b"Content-Length: 65536\r\n\r\n" + BLOCK)

    with RawServer(answer_all) as server:
        assert {post(server.url).truncated for _ in range(requests)} == {False}
        assert server.connections == 1


# --- Compressed -------------------------------------------------------------------------------------------------

ZEROS = bytes(20_000_000)
BOMB = gzip.compress(ZEROS, 9)  # about a thousandth


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("gzip", BOMB),
        ("deflate", zlib.compress(ZEROS, 9)),
        ("br", b"\x5b\xff\xff\x7f\x00" * 100),
        ("zstd", b"\x28\xb5\x2f\xfd" * 100),
        ("gzip, gzip", gzip.compress(BOMB)),
        (", ".join(["gzip"] * 50), BOMB),
        ("deflate, gzip, br, identity, x-unknown", BOMB),
    ],
)
def test_a_compressed_body_stays_packed_whatever_it_would_unpack_to(traced: None, coding: str, packed: bytes) -> None:
    head = f"Content-Encoding: {coding}\r\nContent-Length: {len(packed)}\r\n\r\n".encode()
    with RawServer(raw_reply(OK + head + packed)) as server:
        reply = post(server.url)
    assert (reply.status, reply.body) == (200, packed)
    assert tracemalloc.get_traced_memory()[1] < MEMORY_MAX_BYTES


# --- Lies about the length --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"Content-Length: 6", "reply"),
        (b"Content-Length: 999999999999", "reply"),
        (b"Content-Length: -1", "reply"),
        (b"Content-Length: -5", "reply"),
        (b"Content-Length: +5", "reply"),
        (b"Content-Length: 0x5", "reply"),
        (b"Content-Length: 5.0", "reply"),
        (b"Content-Length: 1_0", "reply"),
        (b"Content-Length: five", "reply"),
        (b"Content-Length:", "reply"),
        (b"Content-Length: " + b"9" * 5000, "reply"),
        (b"Content-Length: 5\r\nContent-Length: 6", "reply"),
        (b"Content-Length: 6\r\nContent-Length: 5", "reply"),
        (b"Content-Length: 5, 5, 6", "reply"),
        (b"Content-Length: 5\r\nContent-Length: five", "reply"),
        (b"Content-Length: 5\r\nContent-Length: 5", 200),
        (b"Content-Length: 5, 5", 200),
        (b"Content-Length: 005", 200),
        (b"Content-Length: 0", 200),  # too short: what comes behind it is not read
        (b"Content-Length: 2", 200),
        (b"X-None: 1", 200),  # up to the end of the connection
    ],
)
def test_a_length_that_is_wrong_or_unclear_is_no_reply(head: bytes, expected: str | int) -> None:
    assert verdict(raw_reply(OK + head + b"\r\n\r\nhello")) == expected


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        (b"5\r\nhello\r\n0\r\n\r\n", 200),
        (b"5;name=value\r\nhello\r\n0\r\n\r\n", 200),
        (b"0005 \r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n", 200),
        (b"-5\r\nhello\r\n0\r\n\r\n", "reply"),
        (b"+5\r\nhello\r\n0\r\n\r\n", "reply"),
        (b"0x5\r\nhello\r\n0\r\n\r\n", "reply"),
        (b"1_0\r\nhello\r\n0\r\n\r\n", "reply"),
        (b"five\r\nhello\r\n0\r\n\r\n", "reply"),
        (b"\r\nhello\r\n0\r\n\r\n", "reply"),
        (b";\r\nhello\r\n0\r\n\r\n", "reply"),
        (b"\xb2\r\nhello\r\n0\r\n\r\n", "reply"),
        (b"F" * 17 + b"\r\nhello", "reply"),
        (b"5\r\nhello\r\n", "reply"),  # no last chunk
        (b"5\r\nhel", "reply"),
        (b"6\r\nhello\r\n", "reply"),
        (b"", "reply"),
    ],
)
def test_chunks_are_read_as_they_are_defined_or_not_at_all(chunks: bytes, expected: str | int) -> None:
    assert verdict(raw_reply(CHUNKED + chunks)) == expected


def test_a_reply_that_breaks_off_says_what_came() -> None:
    sent = OK + b"Content-Length: 50\r\n\r\nshort"
    with RawServer(raw_reply(sent)) as server, pytest.raises(SendError) as caught:
        post(server.url)
    assert "answered 200, but its reply broke off" in caught.value.message
    assert f"{len(sent)} bytes came" in caught.value.message


def test_a_reply_that_stands_still_says_what_came() -> None:
    release = threading.Event()

    def half(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(OK + b"Content-Length: 50\r\n\r\nshort")
        release.wait(10)

    with RawServer(half) as server, pytest.raises(SendError) as caught:
        post(server.url, timeout_s=0.3)
    release.set()
    assert caught.value.stage == "timeout"
    assert "within 0.3 s. The receiver answered 200, but its reply did not come to its end" in caught.value.message


# --- Heads that are none ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"HTTP/1.1 200", 200),
        (b"HTTP/1.1 200 ", 200),
        (b"HTTP/1.0 200 OK", 200),
        (b"HTTP/1.1 204 \xff\x00\x01", 204),
        (b"HTTP/1.1 599 x", 599),
        (b"HTTP/1.1 999 x", 999),
        (b"HTTP/1.1 000 x", "reply"),
        (b"HTTP/1.1 099 x", "reply"),
        (b"HTTP/1.1 20 x", "reply"),
        (b"HTTP/1.1 0200 x", "reply"),
        (b"HTTP/1.1 1000 x", "reply"),
        (b"HTTP/1.1 -200 x", "reply"),
        (b"HTTP/1.1 +200 x", "reply"),
        (b"HTTP/1.1 2_00 x", "reply"),
        (b"HTTP/1.1 200.0 x", "reply"),
        (b"HTTP/1.1 200\x00 x", "reply"),
        (b"HTTP/1.1 \xb200 x", "reply"),
        (b"HTTP/1.1", "reply"),
        (b"HTTP/2.0 200 OK", "reply"),
        (b"HTTP/2 200 OK", "reply"),
        (b"HTTP/9.9 200 OK", "reply"),
        (b"http/1.1 200 OK", "reply"),
        (b"ICY 200 OK", "reply"),
        (b"200 OK", "reply"),
        (b"", "reply"),
        (b"\x00\xff\x16\x03\x01", "reply"),
        (b"<html>hello</html>", "reply"),  # HTTP/0.9
    ],
)
def test_a_status_line_is_read_as_it_is_defined_or_not_at_all(line: bytes, expected: str | int) -> None:
    assert verdict(raw_reply(line + b"\r\nContent-Length: 0\r\n\r\n")) == expected


@pytest.mark.parametrize("head", [OK, OK[:-1], OK[:-2], OK + b"X-A: 1\r\n", OK + b"X-A: 1", OK + b"\r"])
def test_a_success_whose_head_breaks_off_is_none(head: bytes) -> None:
    assert verdict(raw_reply(head)) == "reply"


@pytest.mark.parametrize(
    "header",
    [
        b"X-A: a\x00b",
        b"X-\x00: 1",
        b"X-A: \xff\xfe\xfd\x80",
        b"\xff\xff: 1",
        b"X-A: a\x85b\x0bc\x0cd\x1ce",
        b"X-A: 1\r\n folded",
        b" X-A: 1",
        b"no colon",
        b": no name",
        b"X A : 1",
        b"Set-Cookie: a=b; Domain=.example.com\r\nSet-Cookie: \x00=\xff",
        b"Content-Type: multipart/mixed; boundary=b",
        b"Content-Type: message/rfc822",
        b"Transfer-Encoding: gzip",
    ],
)
def test_odd_headers_change_no_verdict(header: bytes) -> None:
    assert verdict(raw_reply(OK + header + b"\r\n\r\n\xff\x00\xfe")) == 200


def test_a_body_is_bytes_and_need_not_be_text() -> None:
    body = b"\xff\xfe\x00\x80" * 10
    with RawServer(raw_reply(OK + b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + body)) as server:
        assert post(server.url).body == body


# --- Answers out of turn ----------------------------------------------------------------------------------------


def test_an_answer_before_the_request_was_read_and_then_a_reset_ends_at_once() -> None:
    """Whether the answer gets through before the reset is up to the network; nothing else comes of it."""

    def behave(sock: socket.socket) -> None:
        sock.recv(10)
        sock.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        reset(sock)

    started = time.monotonic()
    with RawServer(behave) as server:
        try:
            assert post(server.url, body=bytes(50_000_000)).status == 413
        except SendError as error:
            assert error.stage == "reply"
    assert time.monotonic() - started < SOON_S


@pytest.mark.parametrize("pause_s", [0, 0.05])
def test_a_reply_nobody_asked_for_is_not_taken_for_that_to_the_next_request(pause_s: float) -> None:
    def behave(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(OK + b"Content-Length: 5\r\n\r\nfirst")
        forged.wait(pause_s)
        sock.sendall(OK + b"Content-Length: 6\r\n\r\nforged")
        forged.set()
        if read_request(sock):
            sock.sendall(OK + b"Content-Length: 4\r\n\r\nnext")

    forged = threading.Event()
    with RawServer(behave) as server:
        assert post(server.url).body == b"first"
        assert forged.wait(5)
        assert post(server.url).body in (b"first", b"next")  # on a new connection, or on the same


# --- Anything ---------------------------------------------------------------------------------------------------

PIECES = [
    *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 ", b"HTTP/", b"204", b"200", b"-1", b"\r\n"),
    *(b"\r\n\r\n", b"\n", b"\r", b" ", b":", b";", b"0", b"5", b"F", b"hello", b"Content-Length: ", b"\x00", b"\xff"),
    *(b"Transfer-Encoding: chunked\r\n", b"Content-Encoding: gzip\r\n", b"Connection: keep-alive\r\n", b"a" * 70_000),
    *(
        b"Location: http://[::1\r\n",
        b"Retry-After: 99999999999999999999\r\n",
        b"Set-Cookie: a=b\r\n",
        b"X: y\r\n" * 120,
    ),
]


class Parrot:
    """Answers every request with the bytes of the moment."""

    reply = b""

    def __call__(self, sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(self.reply)


@pytest.fixture(scope="module")
def parrot() -> Iterator[tuple[Parrot, str]]:
    parrot = Parrot()
    with RawServer(parrot) as server:
        yield parrot, server.url


@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=20), max_size=12).map(b"".join))
@example(CHUNKED + b"-1\r\n" + BLOCK * 20)
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_comes_is_a_bounded_reply_or_an_error_with_a_stage(parrot: tuple[Parrot, str], sent: bytes) -> None:
    parrot[0].reply = sent
    try:
        reply = post(parrot[1], timeout_s=5.0)
    except SendError as error:
        assert error.stage == "reply" and error.message.endswith(".")
    else:
        assert 100 <= reply.status <= 999 and len(reply.body) <= 65_536
        assert all(isinstance(value, str) for value in reply.headers.values())
