"""Waiting until something happens for an account, without asking again and again: the long poll, and streams.

Each web process has one subscription to the volatile store, with a channel for work that appears and one for executions
that change, and a list of who waits for which account. A waiter looks once, sleeps until its account is announced,
until something of its own is due, or until its time is over, and looks again. An announcement is a nudge: losing one
costs seconds, never work.
"""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache, partial
from typing import TypeVar
from uuid import UUID

from django.db import connection, transaction

from cueapi.conf import conf
from cueapi.volatile import Unavailable, store

log = logging.getLogger(__name__)

CHANNEL = "wakeups"
CHANGES = "changes"
EVERYBODY = ""  # in place of an account
LISTEN_S = 5.0  # how long the subscriber sleeps when nothing is announced
RECONNECT_S = 1.0
LOOK_EVERY_S = 10.0  # in case an announcement got lost
LOOK_EVERY_DEAF_S = 2.0  # while the store is down

T = TypeVar("T")
Topic = tuple[str, str]  # a channel, and an account


def announce(account_ids: Collection[UUID]) -> None:
    """Wake those who wait for these accounts, in every process, once the present transaction commits."""
    for account_id in set(account_ids):
        transaction.on_commit(partial(_publish, str(account_id)))


def announce_changes(account_ids: Collection[UUID]) -> None:
    """Tell those who watch these accounts' executions that some changed, once the present transaction commits."""
    if account_ids:
        transaction.on_commit(partial(_publish, ",".join(sorted(map(str, set(account_ids)))), CHANGES))


def release() -> None:
    """Let everybody who waits, in every process, look once more and go: the server is about to stop."""
    _publish(EVERYBODY)


def release_here() -> None:
    """The same for this process alone."""
    _hub().close()


def _publish(whom: str, channel: str = CHANNEL) -> None:
    try:
        store().publish(channel, whom)
    except Unavailable as error:
        log.warning("wakeups.not_published", extra={"error": str(error)})


def wait_for(
    account_id: UUID, look: Callable[[], T | None], *, wait_s: float, next_s: Callable[[], float | None]
) -> T | None:
    """The first thing that `look` finds within `wait_s` seconds; None when it finds nothing.

    `next_s` says in how many seconds something may be found without an announcement. When the process has as many
    waiters as it may have (LONG_POLL_WAITERS_MAX), this one looks once.
    """
    deadline_s = time.monotonic() + min(wait_s, conf().long_poll_max_seconds)
    with _hub().seat(CHANNEL, account_id, at_most=conf().long_poll_waiters_max) as seat:
        while True:
            seat.clear()
            found = look()
            left_s = deadline_s - time.monotonic()
            if found is not None or seat.is_released or left_s <= 0:
                return found
            pause_s = min(left_s, _hub().look_every_s, next_s() or left_s)
            let_go_of_database()
            seat.wait(pause_s)


def seat_for_changes(account_id: UUID) -> AbstractContextManager["Seat"]:
    """A seat that rings when executions of the account changed; a released one when the process has no more of them."""
    return _hub().seat(CHANGES, account_id, at_most=conf().event_streams_max)


def let_go_of_database() -> None:
    """A waiter needs no connection; a server's are few."""
    if not connection.in_atomic_block:
        connection.close()


class Seat:
    """The place of one waiter, who goes after one look once released: the house is full, or it closes."""

    def __init__(self, *, is_released: bool) -> None:
        self.is_released = is_released
        self._bell = threading.Event()
        self.clear, self.wait, self.ring = self._bell.clear, self._bell.wait, self._bell.set


class Hub:
    """Who waits in this process, and the thread that listens for all of them."""

    def __init__(self) -> None:
        self._seats: dict[Topic, set[Seat]] = defaultdict(set)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._hears = False

    @property
    def look_every_s(self) -> float:
        return LOOK_EVERY_S if self._hears else LOOK_EVERY_DEAF_S

    @contextmanager
    def seat(self, channel: str, account_id: UUID, *, at_most: int) -> Iterator[Seat]:
        """A seat for as long as the block runs; one that is released when `at_most` of this channel are taken."""
        key = channel, str(account_id)
        with self._lock:
            seat = Seat(is_released=self._waiting(channel) >= at_most)
            if not seat.is_released:
                self._seats[key].add(seat)
                self._listen_in_background()
        try:
            yield seat
        finally:
            with self._lock:
                self._seats[key].discard(seat)
                if not self._seats[key]:
                    del self._seats[key]

    def _waiting(self, channel: str) -> int:
        return sum(len(seats) for topic, seats in self._seats.items() if topic[0] == channel)

    def _topics(self) -> list[Topic]:
        with self._lock:
            return list(self._seats)

    def _listen_in_background(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._listen, name="wakeups", daemon=True)
            self._thread.start()

    def _listen(self) -> None:
        while True:
            try:
                self._hear()
            except Unavailable as error:
                if self._hears:
                    log.warning("wakeups.deaf", extra={"error": str(error)})
                self._hears = False
                time.sleep(RECONNECT_S)

    def _hear(self) -> None:
        """Ring for each announcement. Raises Unavailable when the store goes away."""
        with store().pubsub(ignore_subscribe_messages=True) as subscription:  # type: ignore[no-untyped-call]
            subscription.subscribe(CHANNEL, CHANGES)
            for _ in (CHANNEL, CHANGES):
                subscription.get_message(timeout=LISTEN_S)  # a confirmation: from the last one on nothing is missed
            self._hears = True
            self._ring(self._topics())
            while True:
                message = subscription.get_message(timeout=LISTEN_S)
                if message is not None:
                    self._heard(message["channel"].decode(), message["data"].decode())

    def close(self) -> None:
        """Everybody looks once more, and goes."""
        self._ring(self._topics(), is_last=True)

    def _heard(self, channel: str, whom: str) -> None:
        if whom == EVERYBODY:
            self.close()
        else:
            self._ring([(channel, account_id) for account_id in whom.split(",")])

    def _ring(self, topics: Iterable[Topic], *, is_last: bool = False) -> None:
        """Wake those who wait for this; the last ring sends them home."""
        with self._lock:
            for seat in [seat for topic in topics for seat in self._seats.get(topic, ())]:
                seat.is_released = seat.is_released or is_last
                seat.ring()


@cache
def _hub() -> Hub:
    return Hub()
