"""Ports of loopback for servers that tests start."""

import random
import socket

BELOW_EPHEMERAL = range(20_000, 32_000)


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_port_for_slow_starters() -> int:
    """One that the system gives to no client: asking again and again whether a server is up yet could take it up."""
    while True:
        port = random.SystemRandom().choice(BELOW_EPHEMERAL)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
