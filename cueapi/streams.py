"""Places for streams: each holds a thread of a web process for minutes, so they are few, for each account and process.

An account's are counted over all processes in the volatile store, each with the time at which it is forgotten if its
process dies; while the store is down only the process's own bound holds.
"""

import logging
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from cueapi import wakeups
from cueapi.conf import conf
from cueapi.errors import RateLimited
from cueapi.volatile import Unavailable, store
from cueapi.wakeups import Seat

log = logging.getLogger(__name__)

FORGOTTEN_AFTER_S = 45  # without a word from its process
RETRY_AFTER_S = 10

_TAKE = """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then return 0 end
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[4])
redis.call('EXPIRE', KEYS[1], 3600)
return 1
"""


class Place:
    """The place of one stream: where it waits, and its entry in the account's count."""

    def __init__(self, account_id: UUID, seat: Seat) -> None:
        self.seat = seat
        self._key = f"streams:{account_id}"
        self._name = secrets.token_hex(8)

    def take(self) -> bool:
        now_s, limit = time.time(), conf().event_streams_per_account
        try:
            return bool(store().eval(_TAKE, 1, self._key, now_s, now_s + FORGOTTEN_AFTER_S, limit, self._name))
        except Unavailable as error:
            log.warning("streams.not_counted", extra={"error": str(error)})
            return True

    def keep(self) -> None:
        """Say that it is still in use."""
        self._tell("zadd", {self._name: time.time() + FORGOTTEN_AFTER_S})

    def leave(self) -> None:
        self._tell("zrem", self._name)

    def _tell(self, command: str, what: object) -> None:
        try:
            getattr(store(), command)(self._key, what)
        except Unavailable:
            log.debug("streams.store_unavailable")


def _refusal(message: str) -> RateLimited:
    return RateLimited(message, headers={"Retry-After": str(RETRY_AFTER_S)})


@contextmanager
def place(account_id: UUID) -> Iterator[Place]:
    """A place for as long as the block runs. Raises RateLimited."""
    with wakeups.seat_for_changes(account_id) as seat:
        if seat.is_released:
            raise _refusal("This server has no place for another stream now. Try again in some seconds.")
        taken = Place(account_id, seat)
        if not taken.take():
            most = conf().event_streams_per_account
            raise _refusal(f"Your account has {most} event streams open. Close one, or try again later.")
        try:
            yield taken
        finally:
            taken.leave()
