"""The HTTP client: one request out, one bounded reply back."""

import re
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from http.client import HTTPException

from certifi import where
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from cueapi.outbound import origin
from cueapi.outbound.connection import PinnedPoolManager, TimedTlsSocket, Trip, travelling
from cueapi.outbound.failures import BrokenReply, DeadlinePassed, OutboundError, Refused, SendError
from cueapi.outbound.policy import Policy
from cueapi.outbound.urls import Destination, is_own_echo, permitted

BODY_MAX_BYTES = 65_536
KEPT_DESTINATIONS = 100  # of this process, and the idle connections to each
KEPT_CONNECTIONS = 10

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
FIELD_VALUE = re.compile(r"(?!\s)[^\x00\r\n\ud800-\udfff]*")
FRAMING = frozenset({"content-length", "transfer-encoding"})  # ours to say
BODILESS = frozenset({"GET", "HEAD"})

# What urllib3 and http.client raise over a reply. The request itself was checked before.
REPLY_ERRORS = (HTTPError, HTTPException, OSError, ValueError)


@dataclass(frozen=True)
class OutboundRequest:
    """What to send, and how long it may take from the look-up to the last byte of the reply."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    timeout_s: float


@dataclass(frozen=True)
class Reply:
    """What came back. Header names are lower-case; the body is as sent, undecoded, at most 64 KiB."""

    status: int
    headers: dict[str, str]
    body: bytes
    truncated: bool
    duration_ms: int


def send(request: OutboundRequest) -> Reply:
    """Send once, and return the reply whatever its status: redirects are not followed.

    Raises SendError, named by its stage, when the rules refuse the URL or no complete reply arrives in time.
    """
    policy = Policy.in_force()
    trip = Trip(time.monotonic(), request.timeout_s, policy)
    try:
        return _travel(request, trip, policy)
    except OutboundError as failure:
        raise SendError(failure.stage, str(failure), trip.elapsed_ms()) from failure


def _travel(request: OutboundRequest, trip: Trip, policy: Policy) -> Reply:
    destination = permitted(request.url, policy)
    headers = _headers(request)
    exempt = is_own_echo(destination, policy)
    if exempt:
        trip = Trip(trip.started, trip.timeout_s, policy=None)
        headers[origin.HEADER] = origin.mark_for(destination.path).encode()
    with travelling(trip):
        return _exchange(request, destination, headers, trip, _connections(exempt=exempt))


def _headers(request: OutboundRequest) -> dict[str, bytes]:
    """Checked here, so that what urllib3 raises later is always about the reply."""
    if not all(TOKEN.fullmatch(name) for name in (request.method, *request.headers)):
        raise Refused("The request cannot be sent: its method or the name of a header is not valid.")
    headers = {name: _field_value(value) for name, value in request.headers.items() if name.lower() not in FRAMING}
    headers["Accept-Encoding"] = b"identity"  # a compressed reply could unpack to any size
    if request.body or request.method not in BODILESS:
        headers["Content-Length"] = str(len(request.body)).encode()
    return headers


def _field_value(text: str) -> bytes:
    """Latin-1 is what header values are read as (RFC 9110, 5.5); what it lacks goes out as UTF-8."""
    if not FIELD_VALUE.fullmatch(text):
        raise Refused("The request cannot be sent: the value of a header is not valid.")
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode()


def _exchange(
    request: OutboundRequest, to: Destination, headers: dict[str, bytes], trip: Trip, connections: PinnedPoolManager
) -> Reply:
    pool = connections.connection_from_host(to.host, to.port, to.scheme)
    try:
        response = pool.urlopen(
            request.method,
            to.target,
            request.body or None,
            headers,  # type: ignore[arg-type]  # http.client takes bytes, and so sends what Latin-1 lacks
            retries=False,
            redirect=False,
            assert_same_host=False,
            preload_content=False,
            decode_content=False,
        )
    except REPLY_ERRORS as error:
        raise BrokenReply("The receiver closed the connection, or what it sent is not an HTTP reply.") from error
    replied = {name.lower(): value for name, value in response.headers.items()}
    response.headers.discard("Content-Encoding")  # urllib3 refuses some of them before it is asked to decode any
    try:
        body = _read(response)
    except REPLY_ERRORS as error:
        raise BrokenReply(_unfinished("broke off or stopped being valid HTTP", response, trip)) from error
    except DeadlinePassed as late:
        raise DeadlinePassed(f"{late} {_unfinished('did not come to its end', response, trip)}") from late
    finally:
        response.close()  # drops the connection if anything is left to read; else it is already kept
    return Reply(
        status=response.status,
        headers=replied,
        body=body[:BODY_MAX_BYTES],
        truncated=len(body) > BODY_MAX_BYTES,
        duration_ms=trip.elapsed_ms(),
    )


def _unfinished(what: str, response: BaseHTTPResponse, trip: Trip) -> str:
    came = f"{trip.received_bytes} bytes came, headers included"
    return f"The receiver answered {response.status}, but its reply {what} ({came})."


def _read(response: BaseHTTPResponse) -> bytes:
    """The body, up to one byte more than is kept. Only reading to the end shows that it is complete."""
    if response.status < 200:
        return b""  # an interim status taken for the reply: what follows on this connection belongs to it
    body = bytearray()
    while len(body) <= BODY_MAX_BYTES:
        chunk = response.read(BODY_MAX_BYTES + 1 - len(body), decode_content=False)
        if not chunk:
            break
        body += chunk
    return bytes(body)


@cache
def _pools(exempt: bool) -> PinnedPoolManager:
    """The connections of this process. The exempt ones stand apart, so that no other URL uses them."""
    return PinnedPoolManager(num_pools=KEPT_DESTINATIONS, maxsize=KEPT_CONNECTIONS, ssl_context=tls_context())


_one_at_a_time = threading.Lock()


def _connections(*, exempt: bool) -> PinnedPoolManager:
    with _one_at_a_time:  # threads that start together must not each load all authorities
        return _pools(exempt)


def warm_up() -> None:
    """Read the authorities now, some 0.1 s of work, so that the first request of this process need not wait."""
    tls_context()


@cache
def tls_context() -> ssl.SSLContext:
    """Trusts the bundled authorities, and those the operator has installed on this system."""
    context = ssl.create_default_context(cafile=where())
    context.load_default_certs()
    context.sslsocket_class = TimedTlsSocket
    return context
