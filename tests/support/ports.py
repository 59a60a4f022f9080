"""Ports of loopback for servers that tests start."""

import random
import socket

from cueapi.management.processes import free_port

__all__ = ["free_port", "free_port_for_slow_starters"]

BELOW_EPHEMERAL = range(20_000, 32_000)


def free_port_for_slow_starters() -> int:
    """One that the system gives to no client: asking again and again whether a server is up yet could take it up."""
    while True:
        port = random.SystemRandom().choice(BELOW_EPHEMERAL)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
