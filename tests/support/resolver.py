"""Name resolution for tests: a table in the place of DNS, so that no test asks a real server."""

import ipaddress
import socket
from collections.abc import Callable
from typing import Any


class Resolver(dict[str, list[str]]):
    """`resolver["api.example.com"] = ["93.184.215.14"]`. `localhost` and addresses resolve as ever."""

    def __init__(self, real: Callable[..., list[Any]]) -> None:
        super().__init__()
        self._real = real

    def getaddrinfo(self, host: Any, port: Any, *args: Any, **options: Any) -> list[Any]:
        name = host.decode() if isinstance(host, bytes) else host
        if name is None or is_local(name):
            return self._real(host, port, *args, **options)
        addresses = self.get(name.lower().rstrip("."))
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [entry for address in addresses for entry in self._real(address, port, *args, **options)]


def is_local(name: str) -> bool:
    """Whether the system answers this without asking a DNS server."""
    if name.lower().rstrip(".") == "localhost" or _is_number(name):
        return True
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def _is_number(name: str) -> bool:
    """IPv4 in any of its old spellings: 2130706433, 0x7f.1, 127.1."""
    try:
        socket.inet_aton(name)
    except OSError:
        return False
    return True
