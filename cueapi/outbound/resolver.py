"""Names to addresses, in bounded time."""

import socket
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from cueapi.outbound.failures import Refused, Unresolved
from cueapi.outbound.policy import Address, Policy
from cueapi.outbound.urls import literal

FAMILIES = (socket.AF_INET, socket.AF_INET6)


@dataclass(frozen=True)
class Endpoint:
    """One address of a host, in the form that `socket.connect` takes."""

    family: socket.AddressFamily
    sockaddr: tuple[Any, ...]
    address: Address


def resolve(host: str, port: int, *, timeout_s: float) -> list[Endpoint]:
    """Every address of `host`, looked up once. Raises Unresolved if there is none within `timeout_s`."""
    if address := literal(host):
        return [_literal_endpoint(address, port)]
    try:
        answers = _look_up(host, port).result(timeout_s)
    except TimeoutError as error:
        raise Unresolved(f"{host} could not be resolved in time.") from error
    except (OSError, ValueError) as error:  # ValueError: a name that IDNA or the C library cannot take
        raise Unresolved(f"{host} could not be resolved: there is no such name, or DNS is failing.") from error
    endpoints = [endpoint for answer in answers if (endpoint := _endpoint(answer))]
    if not endpoints:
        raise Unresolved(f"{host} has no IPv4 or IPv6 address.")
    return endpoints


def refuse_forbidden(host: str, endpoints: list[Endpoint], policy: Policy) -> None:
    """Raises Refused unless all addresses are permitted: which of them gets used must not matter."""
    name = host.removesuffix(".")
    for endpoint in endpoints:
        if reason := policy.address_refusal(name, endpoint.address):
            raise Refused(reason)


def _look_up(host: str, port: int) -> "Future[list[Any]]":
    """Start one look-up in a thread of its own.

    Not in a pool: a few names whose DNS hangs would fill it, and stop those of all other destinations.
    """
    future: Future[list[Any]] = Future()
    threading.Thread(target=_answer, args=(future, host, port), name="resolve", daemon=True).start()
    return future


def _answer(future: "Future[list[Any]]", host: str, port: int) -> None:
    try:
        future.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except Exception as error:  # this is the thread's door: whatever happened belongs to the caller
        future.set_exception(error)


def _endpoint(answer: tuple[Any, ...]) -> Endpoint | None:
    family, sockaddr = answer[0], answer[4]
    address = literal(sockaddr[0])
    if family not in FAMILIES or address is None:
        return None
    return Endpoint(family, sockaddr, address)


def _literal_endpoint(address: Address, port: int) -> Endpoint:
    if address.version == 4:
        return Endpoint(socket.AF_INET, (str(address), port), address)
    return Endpoint(socket.AF_INET6, (str(address), port, 0, 0), address)
