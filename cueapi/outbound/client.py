"""The HTTP client: one request out, one bounded reply back."""

import re
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from http.client import HTTPException
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from certifi import where
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import HTTPError

from cueapi.outbound import origin
from cueapi.outbound.connection import PinnedPoolManager, TimedTlsSocket, Trip, travelling
from cueapi.outbound.failures import BrokenReply, OutboundError, Refused, SendError
from cueapi.outbound.policy import Policy
from cueapi.outbound.urls import is_own_echo, lane_of, permitted

BODY_MAX_BYTES = 65_536
KEPT_DESTINATIONS = 8  # per thread; each holds at most one idle connection

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2

# What requests, urllib3 and http.client raise over a reply. The request itself was checked before.
REPLY_ERRORS = (requests.RequestException, HTTPError, HTTPException, OSError, ValueError)


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
    exempt = is_own_echo(destination, policy)
    prepared = _prepared(request)
    if exempt:
        trip = Trip(trip.started, trip.timeout_s, policy=None)
        prepared.headers[origin.HEADER] = origin.mark_for(destination.path)
    with travelling(trip):
        return _exchange(prepared, trip, _thread.session(exempt=exempt))


def _prepared(request: OutboundRequest) -> requests.PreparedRequest:
    prepared = requests.PreparedRequest()
    try:
        prepared.prepare(method=request.method, url=request.url, headers=_headers(request), data=request.body)
    except (requests.RequestException, ValueError) as error:
        raise Refused("The request cannot be sent: its URL or one of its headers is not valid.") from error
    if lane_of(str(prepared.url)) != lane_of(request.url):
        raise Refused("The URL can be read in more than one way. Write it plainly.")
    return prepared


def _headers(request: OutboundRequest) -> CaseInsensitiveDict[str | bytes]:
    if not all(TOKEN.fullmatch(name) for name in (request.method, *request.headers)):
        raise Refused("The request cannot be sent: its method or the name of a header is not valid.")
    headers: CaseInsensitiveDict[str | bytes] = CaseInsensitiveDict()
    headers.update((name, _field_value(value)) for name, value in request.headers.items())
    headers["Accept-Encoding"] = "identity"  # a compressed reply could unpack to any size
    return headers


def _field_value(text: str) -> bytes:
    """Latin-1 is what header values are read as (RFC 9110, 5.5); what it lacks goes out as UTF-8."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode()


def _exchange(prepared: requests.PreparedRequest, trip: Trip, session: requests.Session) -> Reply:
    try:
        response = session.send(prepared, stream=True, allow_redirects=False)
        try:
            body = _read(response)
        finally:
            response.close()  # drops the connection if anything is left to read; else it is already kept
    except REPLY_ERRORS as error:
        raise BrokenReply("The receiver closed the connection, or its reply is not complete, valid HTTP.") from error
    return Reply(
        status=response.status_code,
        headers={name.lower(): value for name, value in response.headers.items()},
        body=body[:BODY_MAX_BYTES],
        truncated=len(body) > BODY_MAX_BYTES,
        duration_ms=trip.elapsed_ms(),
    )


def _read(response: requests.Response) -> bytes:
    """The body, up to one byte more than is kept. Only reading to the end shows that it is complete."""
    if response.status_code < 200:
        return b""  # an interim status taken for the reply: what follows on this connection belongs to it
    body = bytearray()
    while len(body) <= BODY_MAX_BYTES:
        chunk = response.raw.read(BODY_MAX_BYTES + 1 - len(body), decode_content=False)
        if not chunk:
            break
        body += chunk
    return bytes(body)


_one_at_a_time = threading.Lock()


class _Adapter(HTTPAdapter):
    """Connects through pinned, timed connections. Nothing is ever sent twice: `max_retries` stays 0."""

    def __init__(self) -> None:
        super().__init__(pool_connections=KEPT_DESTINATIONS, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **kwargs: Any) -> None:
        with _one_at_a_time:  # threads that start together must not each load all authorities
            context = tls_context()
        self.poolmanager = PinnedPoolManager(num_pools=connections, maxsize=maxsize, block=block, ssl_context=context)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Nothing: `tls_context` verifies. The stock method reloads all authorities for each connection."""


class _Session(requests.Session):
    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False  # no proxies, no .netrc
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # else the jar grows for ever
        self.mount("https://", _Adapter())
        self.mount("http://", _Adapter())

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None, always: else `send` reads the whole body of a redirect, even when told not to follow it."""


class _Sessions(threading.local):
    """The sessions of one thread. The exempt one stands apart, so that no other URL uses its connections."""

    def __init__(self) -> None:
        self.by_exemption: dict[bool, requests.Session] = {}

    def session(self, *, exempt: bool) -> requests.Session:
        if exempt not in self.by_exemption:
            self.by_exemption[exempt] = _Session()
        return self.by_exemption[exempt]


_thread = _Sessions()


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
