"""What every test finds: a private Valkey, names that resolve from a table, a receiver for webhooks."""

import os
import shutil
import socket
from collections.abc import Iterator

import pytest
from django.conf import settings

from cueapi.volatile import store
from executions import delivery
from tests.support import emptying
from tests.support.api import Api, api_of_new_account
from tests.support.receiver import Receiver
from tests.support.resolver import Resolver
from tests.support.valkey import running_valkey
from tests.support.worker import Worker


def pytest_unconfigure() -> None:
    """Each test process has a var/ of its own in the temporary folder (tests.settings): leave none behind."""
    if not os.environ.get("TEST_VAR_DIR"):
        shutil.rmtree(settings.VAR_DIR, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def valkey() -> Iterator[str]:
    """The broker and volatile store of this test process: settings point at the socket in its own var/."""
    with running_valkey(settings.VAR_DIR) as url:
        assert settings.CUEAPI.redis_url == url
        yield url


@pytest.fixture(scope="session", autouse=True)
def triggers_step_aside() -> None:
    """Tests that commit are cleaned up after: the audit trail, too, is emptied then."""
    emptying.allow()


@pytest.fixture(autouse=True)
def empty_store(valkey: str) -> None:
    """No counters, signs of life or queued messages of an earlier test."""
    store().flushdb()


@pytest.fixture(autouse=True)
def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    """The only names there are. Tests add theirs: `resolver["api.example.com"] = ["93.184.215.14"]`."""
    table = Resolver(socket.getaddrinfo)
    monkeypatch.setattr(socket, "getaddrinfo", table.getaddrinfo)
    return table


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A web server on loopback that records the webhooks it gets and answers as told."""
    with Receiver() as server:
        yield server


@pytest.fixture
def worker(valkey: str) -> Worker:
    """Runs queued tasks when told. Needs `django_db(transaction=True)`: work is queued on commit."""
    return Worker(settings.CUEAPI.broker_url)


@pytest.fixture
def api(db: None) -> Api:
    """The API with the key of Ada, the owner."""
    return api_of_new_account("ada@example.org")


@pytest.fixture
def stranger(db: None) -> Api:
    """The API with the key of Mallory, who has nothing to do with Ada."""
    return api_of_new_account("mallory@example.org")


@pytest.fixture
def anyone(db: None) -> Api:
    """The API without a key."""
    return Api(None)


@pytest.fixture(autouse=True)
def patient_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch waits for its receivers, so that a loaded machine changes nothing; tests of slow lanes shorten it."""
    monkeypatch.setattr(delivery, "SLICE_S", 20.0)
    monkeypatch.setattr(delivery, "PATIENCE_S", 20.0)
