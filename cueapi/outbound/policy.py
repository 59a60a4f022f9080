"""Which names and addresses may be called: the fixed rules of contract 9 and the operator's exceptions."""

import logging
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from cueapi.conf import conf

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

log = logging.getLogger(__name__)

METADATA_HOSTS = frozenset({"metadata.google.internal", "metadata.internal"})

# No setting opens these: they hand a machine's own credentials to whoever asks.
NEVER: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "169.254.0.0/16",
        "fe80::/10",
        # Metadata services of cloud providers outside the link-local ranges.
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd20:ce::254",
    )
)

LOOPBACK: tuple[Network, ...] = (ip_network("127.0.0.0/8"), ip_network("::1"))

# The first match names the address, so the narrow ones stand before the wide ones.
BLOCKED: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(text), name)
    for text, name in (
        ("127.0.0.0/8", "a loopback address"),
        ("10.0.0.0/8", "a private address"),
        ("172.16.0.0/12", "a private address"),
        ("192.168.0.0/16", "a private address"),
        ("100.64.0.0/10", "a carrier-internal address"),
        ("0.0.0.0/8", "an unspecified address"),
        ("192.0.0.0/24", "a reserved address"),
        ("192.88.99.0/24", "a reserved address"),
        ("198.18.0.0/15", "a benchmarking address"),
        ("192.0.2.0/24", "a documentation address"),
        ("198.51.100.0/24", "a documentation address"),
        ("203.0.113.0/24", "a documentation address"),
        ("224.0.0.0/4", "a multicast address"),
        ("240.0.0.0/4", "a reserved address"),
        ("::1", "a loopback address"),
        ("::", "an unspecified address"),
        ("fc00::/7", "a private address"),
        ("ff00::/8", "a multicast address"),
        ("2001:db8::/32", "a documentation address"),
        ("3fff::/20", "a documentation address"),
        ("2001::/23", "a reserved address"),
    )
)
GLOBAL_IPV6 = ip_network("2000::/3")  # all that is handed out for the public Internet
NAT64 = ip_network("64:ff9b::/96")


@dataclass(frozen=True)
class Policy:
    """What this installation permits beyond the public Internet."""

    http: bool
    loopback: bool
    hosts: frozenset[str]
    networks: tuple[Network, ...]
    base_url: str

    @classmethod
    def in_force(cls) -> "Policy":
        settings = conf()
        return cls(
            http=settings.is_development or settings.allow_http_callbacks,
            loopback=settings.is_development,
            hosts=frozenset(host.strip("[].") for host in settings.callback_hosts_allowed),
            networks=parse_networks(settings.callback_cidrs_allowed),
            base_url=settings.base_url,
        )

    def name_refusal(self, host: str) -> str | None:
        """Why the name itself may not be called, whatever it resolves to."""
        if host in METADATA_HOSTS:
            return f"{host} is a cloud metadata service, which is never called."
        if host == "localhost":
            return self.address_refusal(host, ip_address("127.0.0.1"))
        return None

    def address_refusal(self, host: str, address: Address) -> str | None:
        """Why `address`, reached by the name `host`, may not be called; None when it may."""
        judged = embedded_ipv4(address) or address
        if any(judged in network for network in NEVER):
            return f"{described(host, address)} is a link-local or metadata address, which is never called."
        kind = blocked_as(judged)
        if kind is None or self._is_permitted(host, judged):
            return None
        return (
            f"{described(host, address)} is {kind}. Use a public address, "
            "or let the operator permit this one with CALLBACK_ALLOW_HOSTS or CALLBACK_ALLOW_CIDRS."
        )

    def _is_permitted(self, host: str, address: Address) -> bool:
        if self.loopback and any(address in network for network in LOOPBACK):
            return True
        return host in self.hosts or any(address in network for network in self.networks)


def embedded_ipv4(address: Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 one leads to: mapped (RFC 4291), NAT64 (RFC 6052) or 6to4 (RFC 3056)."""
    if isinstance(address, IPv4Address):
        return None
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def blocked_as(address: Address) -> str | None:
    """What kind of address it is when it is not a public one, else None."""
    for network, kind in BLOCKED:
        if address in network:
            return kind
    if address.version == 6 and address not in GLOBAL_IPV6:
        return "a reserved address"
    return None


def described(host: str, address: Address) -> str:
    """`10.0.0.1`, or `db.example.com resolves to 10.0.0.1, which`."""
    return host if host == str(address) else f"{host} resolves to {address}, which"


@lru_cache(maxsize=8)
def parse_networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    """The operator's networks. One that cannot be read permits nothing, and is logged once."""
    networks = []
    for text in texts:
        try:
            networks.append(ip_network(text, strict=False))
        except ValueError:
            log.error("outbound.network_unreadable", extra={"setting": "CALLBACK_ALLOW_CIDRS", "value": text})
    return tuple(networks)
