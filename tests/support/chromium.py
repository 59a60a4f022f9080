"""A real browser for the tests and the pictures of our pages: the machine's own Chromium, driven by Playwright."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING = (
    "no Chromium here. Install it (Debian and Ubuntu: apt-get install chromium), or name another: CHROMIUM=/path/to/it"
)

# A tool of tests, on a closed network and perhaps as root: no sandbox, no calls home.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
LEFT = "net::ERR_ABORTED"  # what a stream or a fetch ends with when its page is left


def path_of_chromium() -> str | None:
    """The browser that CHROMIUM names, or the first that is installed."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def chromium(path: str) -> Iterator[Browser]:
    """The browser, running. While it does, this thread has an event loop, so Django's database calls refuse to run."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


class Faults:
    """What a reader of the page would not see, and its author must: noted from when it is made."""

    def __init__(self, page: Page, base_url: str) -> None:
        self.seen: list[str] = []
        self._base_url = base_url
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.seen.append(f"script: {error}"))
        page.on("request", self._request)
        page.on("requestfailed", self._failed)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.seen.append(f"console: {message.text}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self._base_url, "data:", "blob:")):
            self.seen.append(f"asked another server: {request.url}")

    def _failed(self, request: Request) -> None:
        if request.failure != LEFT:
            self.seen.append(f"failed: {request.method} {request.url}: {request.failure}")
