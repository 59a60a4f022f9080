"""The question asked when a URL is saved: may it be called?"""

from cueapi.errors import InvalidCallbackUrl
from cueapi.outbound.failures import Refused, Unresolved
from cueapi.outbound.policy import Policy
from cueapi.outbound.resolver import refuse_forbidden, resolve
from cueapi.outbound.urls import is_own_echo, permitted

DNS_TIMEOUT_S = 1.0  # a cue has two URLs, and saving it waits at most 2 s for DNS (contract 9.4)


def check_url(url: str) -> str | None:
    """None when `url` may be called, or a warning when its name does not resolve now (saving is then fine).

    Raises InvalidCallbackUrl when a rule of contract section 9 forbids it. Blocks for at most 1 s.
    """
    try:
        return _warning(url, Policy.in_force())
    except Refused as refusal:
        raise InvalidCallbackUrl(str(refusal)) from refusal


def _warning(url: str, policy: Policy) -> str | None:
    destination = permitted(url, policy)
    if destination.address or is_own_echo(destination, policy):
        return None
    try:
        endpoints = resolve(destination.host, destination.port, timeout_s=DNS_TIMEOUT_S)
    except Unresolved:
        return f"{destination.host} does not resolve right now. It is resolved again whenever it is called."
    refuse_forbidden(destination.host, endpoints, policy)
    return None
