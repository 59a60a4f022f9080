"""Workers: known from their first heartbeat on, alive, stale or dead by their silence, mailed about once."""

from datetime import timedelta

import pytest

from cueapi.models import Account
from executions import recovery, workers
from executions.models import Notification, Worker
from tests.support import make
from tests.support.make import NOW
from tests.support.together import at_once

pytestmark = [pytest.mark.django_db, pytest.mark.database]

SECOND = timedelta(seconds=1)


@pytest.fixture
def owner() -> Account:
    return make.account()


def test_the_first_heartbeat_registers_and_the_others_renew(owner: Account) -> None:
    workers.heartbeat(owner, "w", handlers=["digest"], now=NOW)
    workers.heartbeat(owner, "w", now=NOW + SECOND)
    worker = Worker.objects.get()
    assert (worker.registered_at, worker.last_heartbeat_at, worker.handlers) == (NOW, NOW + SECOND, ["digest"])
    workers.heartbeat(owner, "w", handlers=None, now=NOW)
    assert Worker.objects.get().handlers is None


def test_accounts_may_use_the_same_names(owner: Account) -> None:
    other = make.account("mallory@example.org")
    workers.heartbeat(owner, "w", now=NOW)
    workers.heartbeat(other, "w", now=NOW)
    assert [len(workers.all_of(account)) for account in (owner, other)] == [1, 1]


@pytest.mark.parametrize(
    ("silent_s", "state"), [(0, "active"), (179, "active"), (180, "stale"), (899, "stale"), (900, "dead")]
)
def test_silence_decides_the_state(owner: Account, silent_s: int, state: str) -> None:
    workers.heartbeat(owner, "w", now=NOW)
    now = NOW + silent_s * SECOND
    assert workers.state_of(Worker.objects.get(), now=now) == state
    assert workers.is_alive(owner.pk, "w", now=now) == workers.is_alive(owner.pk, None, now=now) == (state == "active")


def test_the_one_heard_of_last_comes_first(owner: Account) -> None:
    for n, name in enumerate(("a", "c", "b")):
        workers.heartbeat(owner, name, now=NOW + n * SECOND)
    assert [worker.worker_id for worker in workers.all_of(owner)] == ["b", "c", "a"]


def mails() -> int:
    return Notification.objects.exclude(worker=None).count()


def test_a_silent_worker_is_mailed_about_once_for_each_silence(owner: Account) -> None:
    workers.heartbeat(owner, "w", now=NOW)
    recovery.sweep(now=NOW + 299 * SECOND)
    assert mails() == 0
    for n in range(3):
        recovery.sweep(now=NOW + (300 + n * 1800) * SECOND)
    assert mails() == 1
    workers.heartbeat(owner, "w", now=NOW + 3600 * SECOND)
    recovery.sweep(now=NOW + 3900 * SECOND)
    assert mails() == 2


def test_a_worker_that_flaps_is_mailed_about_once_an_hour(owner: Account) -> None:
    for n in range(6):
        workers.heartbeat(owner, "w", now=NOW + n * 600 * SECOND)
        recovery.sweep(now=NOW + (n * 600 + 300) * SECOND)
    assert mails() == 1


def test_one_that_fell_silent_long_ago_is_left_in_peace(owner: Account) -> None:
    workers.heartbeat(owner, "w", now=NOW - timedelta(hours=3))
    recovery.sweep(now=NOW)
    assert mails() == 0


@pytest.mark.django_db(transaction=True)
def test_two_first_heartbeats_and_two_sweeps_at_once_make_one_worker_and_one_mail(owner: Account) -> None:
    answers = at_once([lambda: workers.heartbeat(owner, "w", now=NOW) for _ in range(4)])
    assert answers == [None] * 4
    answers = at_once([lambda: workers.report_silent(now=NOW + 300 * SECOND) for _ in range(4)])
    assert (sum(answers), mails(), Worker.objects.count()) == (1, 1, 1)
