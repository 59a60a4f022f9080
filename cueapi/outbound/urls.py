"""What a URL says, read exactly as the HTTP client will read it, and the rules that need no look-up."""

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address

from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from cueapi.outbound.failures import Refused
from cueapi.outbound.policy import Address, Policy

URL_MAX_CHARS = 2048
HOST_MAX_CHARS = 253
DEFAULT_PORTS = {"http": 80, "https": 443}

LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
# One plain segment: nothing that a server, a proxy or a client could normalise into another path.
ECHO_PATH = re.compile(r"/v1/echo/[A-Za-z0-9_-][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Destination:
    """Where a URL leads. `host` is lower-case ASCII, no brackets, no trailing dot; `path` is as written."""

    scheme: str
    host: str
    port: int
    path: str
    target: str  # what to ask for: the path, normalised (RFC 3986, 6.2.2)

    @property
    def address(self) -> Address | None:
        """The address, where the host is written as one."""
        return literal(self.host)

    @property
    def lane(self) -> str:
        """`https://example.com:443`: what shares connections, concurrency and a circuit breaker."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def lane_of(url: str) -> str:
    """The destination of a URL, as in `https://example.com:443`; empty for an empty or unreadable one."""
    try:
        return parse(url).lane
    except Refused:
        return ""


@lru_cache(maxsize=1024)
def parse(url: str) -> Destination:
    """Read a URL strictly. Raises Refused for whatever two parsers could read in two ways."""
    _refuse_odd_characters(url)
    try:
        parts = parse_url(url)
    except (LocationParseError, ValueError) as error:
        raise Refused(
            "The URL cannot be read. Write it as in https://example.com/hook, with a valid host and port."
        ) from error
    return _destination(url, parts)


def permitted(url: str, policy: Policy) -> Destination:
    """The destination of `url`. Raises Refused when a rule that needs no look-up forbids it."""
    destination = parse(url)
    if is_own_echo(destination, policy):
        return destination
    if destination.scheme == "http" and not policy.http:
        raise Refused("The URL must start with https://. Plain http needs ALLOW_HTTP_CALLBACKS=true.")
    reason = policy.name_refusal(destination.host)
    if destination.address:
        reason = policy.address_refusal(destination.host, destination.address)
    if reason:
        raise Refused(reason)
    return destination


def is_own_echo(destination: Destination, policy: Policy) -> bool:
    """Whether it is this server's own echo endpoint, which the rules always permit (contract 9.6)."""
    if destination.lane != lane_of(policy.base_url):
        return False
    prefix = parse(policy.base_url).path.rstrip("/")
    path = destination.path.partition("?")[0]
    return path.startswith(prefix) and ECHO_PATH.fullmatch(path.removeprefix(prefix)) is not None


def literal(host: str) -> Address | None:
    """The address that `host` spells in the standard form; other spellings are left to the resolver."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _refuse_odd_characters(url: str) -> None:
    if len(url) > URL_MAX_CHARS:
        raise Refused(f"The URL is over {URL_MAX_CHARS} characters long. Use a shorter one.")
    # Parsers disagree about a backslash: some read it as a slash, and then the host is another.
    if "\\" in url or " " in url or not url.isprintable():
        raise Refused("The URL contains a space, a backslash or a control character. Percent-encode it.")


def _destination(url: str, parts: Url) -> Destination:
    scheme, _, rest = url.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if scheme.lower() not in DEFAULT_PORTS or parts.scheme != scheme.lower():
        raise Refused("The URL must start with https:// (or http://, where this server permits it).")
    if "@" in authority:
        raise Refused("The URL must not contain a user name or password. Send credentials in callback.headers.")
    if not parts.host or "%" in authority:
        raise Refused("The URL has no valid host. Write it as in https://example.com/hook.")
    if parts.port == 0:
        raise Refused("The URL has port 0, to which nothing can connect. Use a port from 1 to 65535.")
    host, port = _host(parts.host), parts.port or DEFAULT_PORTS[parts.scheme]
    return Destination(parts.scheme, host, port, rest[len(authority) :].partition("#")[0], parts.request_uri)


def _host(written: str) -> str:
    """The host in its plain form. Raises Refused for what can be neither a name nor an address."""
    if written.startswith("["):
        address = literal(written[1:-1])
        if address is None:
            raise Refused(f"{written} is not an IPv6 address.")
        return str(address)
    host = written.lower().removesuffix(".")
    if len(host) > HOST_MAX_CHARS or not all(LABEL.fullmatch(label) for label in host.split(".")):
        raise Refused("The URL has no valid host name: letters, digits, hyphens and dots, 63 at most between dots.")
    return host
