"""Waiting without asking again: woken by an announcement, by its own clock, or sent home."""

import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import LazySettings
from django.db import transaction

from cueapi import wakeups
from tests.support.deadline import eventually

pytestmark = pytest.mark.django_db(transaction=True)

ADA, MALLORY = uuid4(), uuid4()


class Waiter:
    """Waits in a thread for `thing` to be found; counts its looks."""

    def __init__(self, account_id: UUID, wait_s: float = 20, next_s: float | None = None) -> None:
        self.thing: str | None = None
        self.looks = 0
        self.found: Any = "nothing yet"
        self._thread = threading.Thread(target=self._run, args=(account_id, wait_s, next_s))
        self._thread.start()
        eventually(lambda: self.looks)

    def _run(self, account_id: UUID, wait_s: float, next_s: float | None) -> None:
        self.found = wakeups.wait_for(account_id, self._look, wait_s=wait_s, next_s=lambda: next_s)

    def _look(self) -> str | None:
        self.looks += 1
        return self.thing

    def ended(self, within_s: float = 5) -> bool:
        self._thread.join(within_s)
        return not self._thread.is_alive()


@pytest.fixture
def hears() -> Callable[[], bool]:
    def is_subscribed() -> bool:
        return bool(wakeups._hub()._hears)

    return is_subscribed


def test_an_announcement_wakes_its_account_and_no_other(hears: Any) -> None:
    ada, mallory = Waiter(ADA), Waiter(MALLORY)
    eventually(hears)
    before = mallory.looks
    ada.thing = "work"
    wakeups.announce({ADA})
    assert ada.ended()
    assert (ada.found, mallory.looks - before) == ("work", 0)
    wakeups.release()
    assert mallory.ended()
    assert mallory.found is None


def test_between_announcements_nobody_looks(hears: Any) -> None:
    waiter = Waiter(ADA, wait_s=1.5)
    eventually(hears)
    looks = waiter.looks
    assert waiter.ended()
    assert waiter.looks - looks <= 2  # one at the end, one when the subscription began


def test_what_comes_due_by_itself_is_looked_for_then() -> None:
    waiter = Waiter(ADA, next_s=0.2)
    waiter.thing = "due"
    assert waiter.ended()
    assert waiter.found == "due"


def test_a_wait_is_cut_to_what_the_server_allows(settings: LazySettings) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"long_poll_max_seconds": 0.1})
    waiter = Waiter(ADA, wait_s=600)
    assert waiter.ended()
    assert waiter.found is None


def test_a_full_house_lets_its_guest_look_once(settings: LazySettings) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"long_poll_waiters_max": 1})
    first, second = Waiter(ADA), Waiter(ADA)
    assert second.ended()
    assert (second.found, second.looks) == (None, 1)
    wakeups.release()
    assert first.ended()
    assert Waiter(ADA, wait_s=0).looks == 1  # the place is free again


def test_who_is_sent_home_goes_although_work_is_announced_meanwhile() -> None:
    with wakeups._hub().seat(wakeups.CHANNEL, ADA, at_most=1) as seat:
        wakeups._hub()._heard(wakeups.CHANNEL, wakeups.EVERYBODY)
        wakeups._hub()._heard(wakeups.CHANNEL, str(ADA))
        assert seat.is_released


def test_a_crash_while_looking_frees_the_seat() -> None:
    def crash() -> None:
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError):
        wakeups.wait_for(ADA, crash, wait_s=1, next_s=lambda: None)
    assert wakeups._hub()._waiting(wakeups.CHANNEL) == 0


def test_without_a_store_waiters_look_every_now_and_then(
    monkeypatch: pytest.MonkeyPatch, settings: LazySettings
) -> None:
    monkeypatch.setattr(wakeups, "LOOK_EVERY_DEAF_S", 0.05)
    deaf = wakeups.Hub()
    monkeypatch.setattr(wakeups, "_hub", lambda: deaf)
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"redis_url": "unix:///nowhere/valkey.sock"})
    waiter = Waiter(ADA)
    waiter.thing = "found in time"
    assert waiter.ended()
    assert waiter.found == "found in time"
    wakeups.announce({ADA})  # costs the caller nothing


def test_an_announcement_waits_for_its_transaction(hears: Any) -> None:
    ada, mallory = Waiter(ADA), Waiter(MALLORY)
    eventually(hears)
    looks, others = ada.looks, mallory.looks
    with transaction.atomic():
        wakeups.announce({ADA})
        wakeups._publish(str(MALLORY))
        eventually(lambda: mallory.looks > others)  # whatever was published before has been heard by now
        assert ada.looks == looks
    eventually(lambda: ada.looks > looks)
    wakeups.release()
    assert ada.ended() and mallory.ended()
