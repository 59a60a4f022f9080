"""Turns at writing: how many transactions of a process run at once, and for how long one waits for its turn."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, connections, transaction

from cueapi import turns
from cueapi.turns import taking_turns
from tests.support.deadline import eventually

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


class Room:
    """Where threads with a turn stay until they may leave."""

    def __init__(self) -> None:
        self.entered = 0
        self.may_leave = threading.Event()
        self._lock = threading.Lock()

    def enter(self) -> None:
        with taking_turns():
            with self._lock:
                self.entered += 1
            assert self.may_leave.wait(20)
        connections.close_all()


def most_at_once() -> int:
    return 1 if connection.vendor == "sqlite" else turns.AT_ONCE


def test_so_many_have_a_turn_and_the_others_wait_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "WAIT_MAX_S", 20)
    room = Room()
    with ThreadPoolExecutor(6) as pool:
        stays = [pool.submit(room.enter) for _ in range(6)]
        eventually(lambda: room.entered == most_at_once(), what="those who have a turn")
        assert not any(stay.done() for stay in stays)
        assert room.entered == most_at_once()
        room.may_leave.set()
    assert room.entered == 6


def test_on_postgresql_nobody_waits_for_ever_for_those_who_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("On SQLite nobody can write before the others have done.")
    monkeypatch.setattr(turns, "WAIT_MAX_S", 0.05)
    room = Room()
    with ThreadPoolExecutor(6) as pool:
        for _ in range(6):
            pool.submit(room.enter)
        eventually(lambda: room.entered == 6, what="those who waited long enough")
        room.may_leave.set()
    assert [turns._turns.acquire(blocking=False) for _ in range(turns.AT_ONCE + 1)] == [True] * turns.AT_ONCE + [False]
    turns._turns.release(turns.AT_ONCE)


def test_within_a_transaction_nobody_waits_for_a_turn() -> None:
    room, done = Room(), threading.Event()

    def write() -> None:
        with transaction.atomic(), taking_turns():
            done.set()
        connections.close_all()

    with ThreadPoolExecutor(most_at_once() + 1) as pool:
        for _ in range(most_at_once()):
            pool.submit(room.enter)
        eventually(lambda: room.entered == most_at_once(), what="all turns being taken")
        pool.submit(write)
        assert done.wait(20)
        room.may_leave.set()
