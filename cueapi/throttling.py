"""Rate limits (contract 1.5): a sliding 60-second window per API key, or per client address without one.

A view may ask for a further window of its own, a `Quota`, with `take`. One script counts and adds in a single step,
so two requests can never take the same last place. Refused requests do not count. When the store is down, requests
pass.
"""

import logging
import math
import secrets
from dataclasses import dataclass
from datetime import datetime

from django.http import HttpRequest

from cueapi.conf import conf
from cueapi.errors import RateLimited
from cueapi.plans import PLANS
from cueapi.volatile import Unavailable, store

log = logging.getLogger(__name__)

WINDOW_S = 60
HOUR_S = 3600

# KEYS[1] the window; ARGV: now (s), limit, a unique member, window (s). Answers {allowed, count, oldest}.
_HIT = """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1] - ARGV[4])
local count = redis.call('ZCARD', KEYS[1])
local allowed = 0
if count < tonumber(ARGV[2]) then
  redis.call('ZADD', KEYS[1], ARGV[1], ARGV[3])
  redis.call('EXPIRE', KEYS[1], ARGV[4] + 1)
  count = count + 1
  allowed = 1
end
local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return {allowed, count, oldest[2] or ARGV[1]}
"""


@dataclass(frozen=True)
class Rate:
    """Where a caller stands: `reset_at` (Unix seconds) is when the next place frees up."""

    limit: int
    remaining: int
    reset_at: int
    allowed: bool = True
    window_s: int = WINDOW_S

    def headers(self) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset_at),
        }


@dataclass(frozen=True)
class Quota:
    """How often one caller may do one costly thing. `name` keeps its window apart from all others."""

    name: str
    limit: int
    window_s: int


def hit(who: str, limit: int, *, now: datetime, window_s: int = WINDOW_S) -> Rate:
    """Take one place in the window of `who`, which is `window_s` seconds long."""
    at = now.timestamp()
    member = f"{at}:{secrets.token_hex(4)}"
    try:
        allowed, count, oldest = store().eval(_HIT, 1, f"rate:{who}", repr(at), limit, member, window_s)
    except Unavailable as error:
        log.warning("rate.store_unavailable", extra={"error": str(error)})
        return Rate(limit, limit, math.ceil(at) + window_s, window_s=window_s)
    reset_at = math.ceil(float(oldest)) + window_s
    return Rate(limit, max(0, limit - count), reset_at, bool(allowed), window_s)


def take(quota: Quota, who: str, *, now: datetime) -> None:
    """Take one place of `who` in this quota. Raises RateLimited, with the seconds to wait, when there is none."""
    rate = hit(f"{quota.name}:{who}", quota.limit, now=now, window_s=quota.window_s)
    if not rate.allowed:
        raise refuse(rate, now=now)


def refuse(rate: Rate, *, now: datetime) -> RateLimited:
    """The error for a request over the limit, with whole seconds to wait."""
    wait_s = max(1, math.ceil(rate.reset_at - now.timestamp()))
    return RateLimited(
        f"Over {rate.limit} requests in {rate.window_s} seconds. Try again in {wait_s} s.",
        headers={**rate.headers(), "Retry-After": str(wait_s)},
    )


def address_limit() -> int:
    """Requests a minute for one address without a valid key: those of the default plan."""
    return PLANS[conf().default_plan].requests_per_minute


def client_address(request: HttpRequest) -> str:
    """The caller's address; behind TRUSTED_PROXY_COUNT proxies, the one that the outermost of them saw."""
    count = conf().trusted_proxy_count
    forwarded = [part.strip() for part in request.headers.get("X-Forwarded-For", "").split(",") if part.strip()]
    if count and len(forwarded) >= count:
        return forwarded[-count]
    return str(request.META.get("REMOTE_ADDR", "unknown"))
