"""Sending: only to checked addresses, within one deadline, and never more than is asked for."""

import gzip
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cueapi.outbound import OutboundRequest, Reply, SendError, check_url, client, send
from tests.support.raw import endless, raw_reply, read_request, reset
from tests.support.receiver import Answer, Dns, RawServer, Receiver

FORBIDDEN = [
    "10.0.0.1",
    "169.254.169.254",
    "fd00::1",
    "fe80::1",
    "::ffff:10.0.0.1",
    "64:ff9b::a00:1",
    "2002:a00:1::",
]
PUBLIC = "93.184.216.34"
PACE_S = 0.02


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def dns(monkeypatch) -> Dns:
    fake = Dns({"hook.example": ["127.0.0.1"], "localhost": ["127.0.0.1"]})
    monkeypatch.setattr(socket, "getaddrinfo", fake)
    return fake


@pytest.fixture
def production(settings) -> Callable[..., None]:
    def switch(**changes: object) -> None:
        settings.CUEAPI = settings.CUEAPI.model_copy(update={"env": "production"} | changes)

    return switch


def post(url: str, *, body: bytes = b"{}", timeout_s: float = 5.0, **headers: str) -> Reply:
    return send(OutboundRequest("POST", url, {"Content-Type": "application/json"} | headers, body, timeout_s))


def failure(url: str, *, timeout_s: float = 5.0, **headers: str) -> SendError:
    with pytest.raises(SendError) as caught:
        post(url, timeout_s=timeout_s, **headers)
    assert str(caught.value) == caught.value.message
    assert caught.value.message.endswith(".") and caught.value.duration_ms >= 0
    return caught.value


def stage_of(behave: Callable[[socket.socket], None], *, timeout_s: float = 5.0) -> str:
    with RawServer(behave) as server:
        return failure(server.url, timeout_s=timeout_s).stage


# --- What is sent and what comes back -------------------------------------------------------------


def test_the_request_arrives_as_given(receiver):
    reply = post(receiver.url + "?a=%20b", body=b'{"x": 1}', **{"X-CueAPI-Attempt": "1", "User-Agent": "CueAPI/1.0"})

    [received] = receiver.received
    assert (received.method, received.path, received.json) == ("POST", "/hook?a=%20b", {"x": 1})
    assert received.headers["x-cueapi-attempt"] == "1"
    assert received.headers["User-Agent"] == "CueAPI/1.0"
    assert received.headers["Accept-Encoding"] == "identity"
    assert received.headers["Content-Length"] == "8"
    assert received.headers["Host"] == f"127.0.0.1:{receiver.port}"
    assert reply.status == 200 and not reply.truncated


def test_a_get_carries_no_body(receiver):
    send(OutboundRequest("GET", receiver.url, {}, b"", 5.0))

    [received] = receiver.received
    assert received.method == "GET" and received.body == b"" and "Content-Length" not in received.headers


@pytest.mark.parametrize("status", [200, 204, 304, 404, 429, 500, 503])
def test_a_status_is_a_reply_and_never_an_error(receiver, status):
    receiver.will_answer(Answer(status, headers={"Retry-After": "7"}))

    reply = post(receiver.url)

    assert reply.status == status and reply.headers["retry-after"] == "7"


@pytest.mark.parametrize("location", ["http://127.0.0.1:1/", "http://169.254.169.254/", "http://[::1", "//\x7f@", ""])
def test_a_redirect_is_returned_and_not_followed(receiver, location):
    receiver.will_answer(Answer(302, "moved", headers={"Location": location}))

    reply = post(receiver.url)

    assert (reply.status, reply.body) == (302, b"moved")
    assert len(receiver.received) == 1


def test_the_body_of_a_redirect_is_bounded_too():
    head = b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Encoding: gzip\r\n\r\n"
    with RawServer(endless(head, gzip.compress(bytes(1_000_000)))) as server:
        reply = post(server.url, timeout_s=5.0)

    assert reply.status == 302 and reply.truncated


def test_the_duration_covers_the_whole_request(receiver):
    release = threading.Event()
    receiver.will_answer(Answer(wait=release))
    threading.Timer(0.3, release.set).start()

    assert 290 <= post(receiver.url).duration_ms < 3000


def test_a_huge_body_is_cut_at_64_kib(receiver):
    receiver.will_answer(Answer(body=b"x" * 10_000_000))

    reply = post(receiver.url)

    assert len(reply.body) == 65_536 and reply.truncated
    assert post(receiver.url).status == 200


def test_a_body_of_exactly_64_kib_is_whole_and_keeps_the_connection(receiver):
    receiver.will_answer(Answer(body=b"x" * 65_536))

    reply = post(receiver.url)
    post(receiver.url)

    assert len(reply.body) == 65_536 and not reply.truncated
    assert receiver.connections == 1


def test_a_compressed_body_is_not_unpacked(receiver):
    packed = gzip.compress(b"{}" * 1000)
    receiver.will_answer(Answer(body=packed, headers={"Content-Encoding": "gzip"}))

    assert post(receiver.url).body == packed


def test_a_customer_cannot_ask_for_compression(receiver):
    post(receiver.url, **{"accept-encoding": "gzip"})

    assert receiver.received[0].headers["Accept-Encoding"] == "identity"


def test_a_chunked_body_is_joined():
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with RawServer(raw_reply(head + b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")) as server:
        assert post(server.url).body == b"abc"


def test_cookies_are_never_sent_back(receiver):
    receiver.default = Answer(headers={"Set-Cookie": "session=1; Path=/; Domain=hook.example"})

    for _ in range(2):
        post(receiver.url)

    assert all("Cookie" not in received.headers for received in receiver.received)


def test_a_header_value_outside_latin_1_is_sent_as_utf_8(receiver):
    post(receiver.url, **{"X-Price": "5 €"})

    assert receiver.received[0].headers["X-Price"].encode("latin-1").decode() == "5 €"


def test_a_header_value_in_latin_1_is_sent_as_it_is(receiver):
    post(receiver.url, **{"X-Place": "Orléans"})

    assert receiver.received[0].headers["X-Place"] == "Orléans"


@pytest.mark.parametrize(
    "header",
    [
        ("X-A", "1\r\nX-Evil: 1"),
        ("X-A", "1\n"),
        ("X A", "1"),
        ("X-A:", "1"),
        ("", "1"),
        ("X-é", "1"),
        ("X", "\ud800"),
    ],
)
def test_a_header_that_is_not_http_is_refused_before_connecting(receiver, header):
    name, value = header

    assert failure(receiver.url, **{name: value}).stage == "refused"
    assert receiver.connections == 0


# --- Where it may go ------------------------------------------------------------------------------


@pytest.mark.parametrize("address", FORBIDDEN)
def test_a_name_that_resolves_to_a_forbidden_address_is_refused(dns, address):
    dns.names["inside.example"] = [address]

    error = failure("http://inside.example/hook")

    assert error.stage == "refused" and "inside.example resolves to" in error.message


@pytest.mark.parametrize("address", FORBIDDEN)
def test_one_forbidden_address_is_enough_to_connect_to_none(dns, receiver, address):
    dns.names["hook.example"] = ["127.0.0.1", address]

    assert failure(f"http://hook.example:{receiver.port}/").stage == "refused"
    assert receiver.connections == 0


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.1/",
        "http://user:secret@127.0.0.1/",
        "http://metadata.google.internal/",
        "ftp://127.0.0.1/",
        "http://a\\@127.0.0.1/",
        "http://[::1",
        "",
    ],
)
def test_a_url_that_may_not_be_saved_is_not_called_either(url):
    error = failure(url)

    assert error.stage == "refused" and "secret" not in error.message


def test_a_name_keeps_its_host_header_while_the_checked_address_is_used(dns, receiver):
    post(f"http://Hook.Example:{receiver.port}/")

    assert receiver.received[0].headers["Host"] == f"hook.example:{receiver.port}"


def test_a_name_is_resolved_once_for_each_connection(dns, receiver):
    dns.names["hook.example"] = [["127.0.0.1"], ["10.0.0.1"], [PUBLIC]]

    for _ in range(2):
        assert post(f"http://hook.example:{receiver.port}/").status == 200

    assert dns.asked == ["hook.example"]


def test_a_name_that_changes_after_the_check_is_refused_on_connecting(dns, receiver, production):
    production(allow_http_callbacks=True)
    dns.names["hook.example"] = [[PUBLIC], ["127.0.0.1"]]
    url = f"http://hook.example:{receiver.port}/"

    assert check_url(url) is None
    assert failure(url).stage == "refused"
    assert receiver.connections == 0


def test_a_new_connection_is_checked_anew(dns, receiver):
    dns.names["hook.example"] = [["127.0.0.1"], ["127.0.0.1", "10.0.0.1"]]
    receiver.will_answer(Answer(headers={"Connection": "close"}))
    url = f"http://hook.example:{receiver.port}/"

    assert post(url).status == 200
    assert failure(url).stage == "refused"


def test_loopback_is_refused_in_production(receiver, dns, production):
    production(allow_http_callbacks=True)

    assert failure(receiver.url).stage == "refused"
    assert failure(f"http://hook.example:{receiver.port}/").stage == "refused"
    assert receiver.connections == 0


def test_an_operator_can_permit_a_private_target(receiver, dns, production):
    production(allow_http_callbacks=True, callback_allow_hosts="hook.example")
    assert post(f"http://hook.example:{receiver.port}/").status == 200

    production(allow_http_callbacks=True, callback_allow_hosts="", callback_allow_cidrs="127.0.0.0/8")
    assert post(receiver.url).status == 200


def test_an_unknown_name_fails_at_the_look_up(dns):
    error = failure("http://nowhere.example/")

    assert error.stage == "resolve" and "nowhere.example" in error.message


def test_a_look_up_that_hangs_ends_with_the_deadline(monkeypatch):
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait(30) and [])

    error = failure("http://slow.example/", timeout_s=0.3)
    released.set()

    assert error.stage == "resolve" and 250 < error.duration_ms < 2000


def test_proxies_from_the_environment_are_ignored(receiver, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    assert post(receiver.url).status == 200


def test_credentials_from_netrc_are_ignored(receiver, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))

    post(receiver.url)

    assert "Authorization" not in receiver.received[0].headers


def test_our_own_echo_endpoint_is_reached_even_in_production(receiver, production):
    production(base_url=receiver.url_for(""))

    assert post(receiver.url_for("/v1/echo/qs-0123456789abcdef")).status == 200


def test_the_connection_of_the_echo_endpoint_serves_no_other_url(receiver, dns, production):
    production(base_url=f"http://hook.example:{receiver.port}", allow_http_callbacks=True)
    assert post(f"http://hook.example:{receiver.port}/v1/echo/qs-0123456789abcdef").status == 200

    for path in ("/v1/cues", "/v1/echo/../cues", "/v1/echo/%2e%2e/cues"):
        assert failure(f"http://hook.example:{receiver.port}{path}").stage == "refused"

    assert len(receiver.received) == 1


# --- How long it may take -------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "behave",
    [
        pytest.param(endless(b"", b"H", pace_s=PACE_S), id="a status line that never ends"),
        pytest.param(endless(OK + b"X-A: ", b"a", pace_s=PACE_S), id="a header that never ends"),
        pytest.param(endless(OK + b"Content-Length: 9999\r\n\r\n", b"a", pace_s=PACE_S), id="a body that trickles"),
        pytest.param(endless(OK + b"\r\n", b"a", pace_s=PACE_S), id="a body without length that trickles"),
        pytest.param(
            endless(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n", pace_s=PACE_S),
            id="chunks that trickle",
        ),
        pytest.param(
            endless(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n", pace_s=PACE_S),
            id="chunk trailers without end",
        ),
        pytest.param(endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n", pace_s=PACE_S), id="100 Continue for ever"),
        pytest.param(endless(OK + b"Content-Length: 5\r\n\r\n", b"", pace_s=PACE_S), id="a body that never comes"),
        pytest.param(lambda sock: sock.recv(1) and threading.Event().wait(1.5), id="no reply at all"),
    ],
)
def test_the_deadline_holds_however_the_receiver_trickles(behave):
    with RawServer(behave) as server:
        error = failure(server.url, timeout_s=0.5)

    assert error.stage == "timeout" and "0.5 s" in error.message
    assert 450 < error.duration_ms < 1500


def test_the_deadline_holds_while_the_receiver_does_not_read():
    finish = threading.Event()
    with RawServer(lambda sock: finish.wait(10)) as server, pytest.raises(SendError) as caught:
        post(server.url, body=bytes(50_000_000), timeout_s=0.5)
    finish.set()

    assert caught.value.stage == "timeout"


def test_the_deadline_holds_during_the_tls_handshake():
    with RawServer(lambda sock: sock.recv(1) and threading.Event().wait(1.5)) as server:
        error = failure(server.url.replace("http:", "https:"), timeout_s=0.5)

    assert error.stage == "timeout"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not drop connections beyond the queue")
def test_an_address_that_does_not_answer_leaves_time_for_the_next(dns, receiver):
    with blackhole() as port:
        dns.names["hook.example"] = ["127.0.0.2", "127.0.0.1"]
        with RawServer(raw_reply(OK + b"Content-Length: 0\r\n\r\n"), port=port) as server:
            reply = post(f"http://hook.example:{server.port}/", timeout_s=2.0)

    assert reply.status == 200 and reply.duration_ms > 900


def test_a_timeout_does_not_poison_the_next_request(receiver):
    release = threading.Event()
    receiver.will_answer(Answer(500, wait=release))

    assert failure(receiver.url, timeout_s=0.2).stage == "timeout"
    release.set()
    assert post(receiver.url).status == 200


@contextmanager
def blackhole() -> Iterator[int]:
    """A port of 127.0.0.2 whose queue is full, so that nothing answers there."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.2", 0))
        listener.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


# --- How it can fail ------------------------------------------------------------------------------


def test_a_closed_port_is_a_connection_failure():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        error = failure(f"http://127.0.0.1:{unused.getsockname()[1]}/")

    assert error.stage == "connect" and "connection refused" in error.message


def answer_with_a_reset(sock: socket.socket) -> None:
    read_request(sock)
    reset(sock)


@pytest.mark.parametrize(
    "behave",
    [
        pytest.param(raw_reply(b""), id="closed without a reply"),
        pytest.param(answer_with_a_reset, id="reset"),
        pytest.param(raw_reply(b"SSH-2.0-OpenSSH_9.2\r\n"), id="not HTTP"),
        pytest.param(raw_reply(b"HTTP/1.1 abc\r\n\r\n"), id="no status"),
        pytest.param(raw_reply(OK + b"Content-Length: 50\r\n\r\nshort"), id="shorter than its Content-Length"),
        pytest.param(raw_reply(OK + b"Content-Length: 5, 6\r\n\r\nshort"), id="two lengths"),
        pytest.param(raw_reply(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"), id="a broken chunk"),
        pytest.param(raw_reply(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab"), id="a cut chunk"),
        pytest.param(endless(OK, b"X: y\r\n"), id="headers without end"),
        pytest.param(endless(OK, b"X" * 1000), id="a header line without end"),
        pytest.param(endless(b"", b"X" * 1000), id="a status line without end"),
    ],
)
def test_a_broken_reply_is_an_error_of_its_own(behave):
    assert stage_of(behave) == "reply"


def test_plain_http_behind_https_is_a_tls_failure(receiver):
    error = failure(receiver.url.replace("http:", "https:"))

    assert error.stage == "tls" and "127.0.0.1" in error.message


def test_a_handshake_that_is_broken_off_is_a_tls_failure():
    with RawServer(lambda sock: sock.recv(1)) as server:
        assert failure(server.url.replace("http:", "https:")).stage == "tls"


# --- Connections kept alive -----------------------------------------------------------------------


def test_two_requests_share_one_connection(receiver):
    for _ in range(2):
        post(receiver.url)

    assert len(receiver.received) == 2 and receiver.connections == 1


def test_a_connection_the_receiver_closed_while_idle_costs_no_attempt(receiver):
    post(receiver.url)
    receiver.hang_up()

    assert post(receiver.url).status == 200
    assert len(receiver.received) == 2 and receiver.connections == 2


@pytest.mark.parametrize("method", ["POST", "PUT", "GET"])
def test_a_request_is_never_sent_twice_by_itself(method):
    requests: list[bytes] = []

    def answer_once(sock: socket.socket) -> None:
        requests.append(read_request(sock))
        sock.sendall(OK + b"Content-Length: 0\r\n\r\n")
        requests.append(read_request(sock))

    with RawServer(answer_once) as server:
        request = OutboundRequest(method, server.url, {}, b"{}", 5.0)
        assert send(request).status == 200
        with pytest.raises(SendError, match="closed the connection"):
            send(request)
        assert server.connections == 1

    assert len(requests) == 2


@pytest.mark.parametrize("interim", [b"101 Switching Protocols", b"103 Early Hints"])
def test_an_interim_status_does_not_shift_the_replies(interim):
    def behave(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(b"HTTP/1.1 " + interim + b"\r\n\r\n")
        if read_request(sock):
            sock.sendall(OK + b"Content-Length: 3\r\n\r\nold")

    with RawServer(behave) as server:
        assert post(server.url).status == int(interim[:3])
        assert post(server.url).status == int(interim[:3])
        assert server.connections == 2


def test_threads_send_side_by_side(receiver):
    replies: list[int] = []
    threads = [threading.Thread(target=lambda: replies.append(post(receiver.url).status)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert replies == [200] * 8


# --- TLS ------------------------------------------------------------------------------------------


@pytest.fixture
def tls(tmp_path, monkeypatch) -> Iterator[ssl.SSLContext]:
    """A server's TLS for hook.example, by an authority that the operator has installed on this system."""
    server, certificate = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), tmp_path / "hook.pem"
    certificate.write_bytes(self_signed("hook.example"))
    server.load_cert_chain(certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    forget_connections()
    yield server
    forget_connections()


def forget_connections() -> None:
    """As in a new process."""
    client.tls_context.cache_clear()
    client._pools.cache_clear()


def self_signed(host: str) -> bytes:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private + certificate.public_bytes(pem)


def in_new_thread(act: Callable[[], object]) -> object:
    """What `act` returns or raises, run with the sessions of a fresh thread."""
    results: list[object] = []

    def run() -> None:
        try:
            results.append(act())
        except SendError as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)
    return results[0]


def over_tls(context: ssl.SSLContext, behave: Callable[[socket.socket], None]) -> RawServer:
    def wrapped(sock: socket.socket) -> None:
        try:
            with context.wrap_socket(sock, server_side=True) as secure:
                behave(secure)
        except ssl.SSLError as error:
            raise ConnectionError("the client broke off") from error

    return RawServer(wrapped)


def test_https_names_the_host_and_verifies_it(tls, dns):
    names: list[str | None] = []
    tls.sni_callback = lambda _sock, name, _context: names.append(name)

    def answer_twice(sock: socket.socket) -> None:
        for _ in range(2):
            read_request(sock)
            sock.sendall(OK + b"Content-Length: 2\r\n\r\nhi")

    with over_tls(tls, answer_twice) as server:
        url = f"https://hook.example:{server.port}/"
        replies = in_new_thread(lambda: [post(url), post(url)])

    assert [reply.body for reply in replies] == [b"hi", b"hi"]
    assert names == ["hook.example"] and dns.asked == ["hook.example"]


def test_a_certificate_for_another_name_is_a_tls_failure(tls, dns):
    dns.names["other.example"] = ["127.0.0.1"]
    with over_tls(tls, read_request) as server:
        error = in_new_thread(lambda: post(f"https://other.example:{server.port}/"))

    assert isinstance(error, SendError) and error.stage == "tls" and "other.example" in error.message


def test_an_unknown_authority_is_a_tls_failure(tls, dns, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    with over_tls(tls, read_request) as server:
        error = in_new_thread(lambda: post(f"https://hook.example:{server.port}/"))

    assert isinstance(error, SendError) and error.stage == "tls" and "certificate" in error.message


def test_the_deadline_holds_over_tls(tls, dns):
    started = time.monotonic()
    with over_tls(tls, endless(OK + b"X-A: ", b"a", pace_s=PACE_S)) as server:
        error = in_new_thread(lambda: post(f"https://hook.example:{server.port}/", timeout_s=0.5))

    assert isinstance(error, SendError) and error.stage == "timeout"
    assert time.monotonic() - started < 3
