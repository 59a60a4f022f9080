"""A server as `make up` runs it, and an account of its own for each test."""

from collections.abc import Iterator

import pytest

from tests.clients.account import Account, new_account
from tests.clients.server import Server, folder_of_run, shared_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with shared_server(folder_of_run(tmp_path_factory), "patient", {}) as shared:
        yield shared


@pytest.fixture
def account(server: Server) -> Account:
    return new_account(server)
