"""The volatile store (Redis or Valkey): rate windows and signs of life. Losing it loses nothing that matters."""

from functools import lru_cache

import redis

from cueapi.conf import conf

Unavailable = redis.RedisError


@lru_cache(maxsize=4)
def _connect(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1)


def store() -> redis.Redis:
    """The client for REDIS_URL. Its calls raise `Unavailable` when the store is down."""
    return _connect(conf().redis_url)
