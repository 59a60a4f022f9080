"""An installation with all its processes, a receiver of its webhooks, and a browser in front of it."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.proofs.client import Client, running
from tests.support.chromium import MISSING, Faults, chromium, path_of_chromium
from tests.support.processes import Installation
from tests.support.receiver import Receiver
from tests.support.scenery import Scenery, scenery

WITHIN_MS = 15_000

expect.set_options(timeout=WITHIN_MS)


@pytest.fixture(scope="session")
def chromium_path() -> str:
    path = path_of_chromium()
    if path is None:
        pytest.skip(MISSING)
    return path


@pytest.fixture(scope="session")
def it(chromium_path: str) -> Iterator[Installation]:
    """All processes, up; each test leaves them up."""
    with running({}) as installation:
        yield installation


@pytest.fixture(scope="session")
def scene(it: Installation) -> Iterator[Scenery]:
    """A busy day behind it."""
    with scenery(it) as made:
        yield made


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    """For one module: tests that use Django's database cannot run in this process meanwhile."""
    with chromium(chromium_path) as running_browser:
        yield running_browser


@pytest.fixture
def client(it: Installation) -> Iterator[Client]:
    with Client(it) as client:
        yield client


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        yield server


@pytest.fixture(scope="module")
def cookies(it: Installation, browser: Browser) -> Any:
    """Of somebody who signed in with the key."""
    context = browser.new_context(base_url=it.base_url)
    page = context.new_page()
    page.goto("/login")
    page.get_by_label("A key of your account").fill(it.api_key)
    page.get_by_role("button", name="Sign in with the key").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def page(it: Installation, browser: Browser, cookies: Any) -> Iterator[Page]:
    """A tab of that somebody, in Paris. Whatever its console complains of fails the test."""
    yield from _tab(it, browser, storage_state=cookies)


@pytest.fixture
def new_page(it: Installation, browser: Browser) -> Iterator[Page]:
    """A tab of somebody who has not signed in."""
    yield from _tab(it, browser)


def _tab(it: Installation, browser: Browser, **options: Any) -> Iterator[Page]:
    context = browser.new_context(base_url=it.base_url, timezone_id="Europe/Paris", locale="en-GB", **options)
    context.set_default_timeout(WITHIN_MS)
    page = context.new_page()
    faults = Faults(page, it.base_url)
    yield page
    context.close()
    assert faults.seen == []
