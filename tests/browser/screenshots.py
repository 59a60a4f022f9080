"""Pictures of every page, light, dark and at phone width: `make screenshots` puts them into var/screenshots.

With `--docs` it renews the ones in docs/pictures instead, which README.md and docs/operating.md show.
"""

import argparse
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from playwright.sync_api import Browser, BrowserContext, Page

from cueapi import clock
from tests.proofs.client import running, say
from tests.support.chromium import MISSING, chromium, path_of_chromium
from tests.support.processes import ROOT, Installation
from tests.support.scenery import Scenery, scenery

INTO, DOCS = ROOT / "var" / "screenshots", ROOT / "docs" / "pictures"
DESK, PHONE = {"width": 1200, "height": 860}, {"width": 390, "height": 844}
LOOKS: Mapping[str, Mapping[str, Any]] = {
    "light": {"color_scheme": "light", "viewport": DESK},
    "dark": {"color_scheme": "dark", "viewport": DESK},
    "phone": {"color_scheme": "light", "viewport": PHONE, "is_mobile": True, "device_scale_factor": 2},
}
LISTS = (
    *("executions", "cues", "dead-letters", "destinations", "workers"),
    *("alerts", "usage", "audit", "keys", "settings"),
)
ADMIN_LISTS = (
    *("executions/execution", "executions/deadletter", "executions/destination", "executions/worker"),
    *("cues/cue", "cueapi/auditevent"),
)
IN_README = ("overview", "execution-failed")  # by the reader's scheme
STILL_MS = 300  # after which a page has told all its times

Pages = Mapping[str, str]  # names of pictures, and the paths of what they show


def own_pages(scene: Scenery) -> Pages:
    return {name: f"/{name}" for name in LISTS} | {
        "overview": "/",
        "execution-failed": scene.failed,
        "execution-retried": scene.retried,
        "execution-retrying": scene.retrying,
        "cue": scene.cue,
        "cue-why": why(scene),
        "sign-in": "/login",
        "device": "/auth/device?code=WXYZ-7345",
    }


def why(scene: Scenery) -> str:
    """The page that answers why the cue did not run at nine."""
    nine = (clock.now().astimezone(ZoneInfo("Europe/Paris")) - timedelta(hours=10)).replace(hour=9, minute=0, second=0)
    return f"{scene.paused_at_nine}?at={nine:%Y-%m-%dT%H:%M:%S}&zone=cue#why"


def admin_pages(scene: Scenery) -> Pages:
    execution, cue = (path.rsplit("/", 1)[1].replace("_", "_5F") for path in (scene.failed, scene.cue))
    return {
        "admin": "/admin/",
        **{f"admin-{path.split('/')[1]}s": f"/admin/{path}/" for path in ADMIN_LISTS},
        "admin-replay-all": "/admin/executions/deadletter/all/replay",
        "admin-execution": f"/admin/executions/execution/{execution}/change/",
        "admin-cue": f"/admin/cues/cue/{cue}/change/",
    }


def doc_pages(scene: Scenery) -> Pages:
    pages = own_pages(scene) | admin_pages(scene)
    names = ("overview", "execution-failed", "execution-retrying", "cue-why", "dead-letters", "admin")
    return {name: pages[name] for name in names}


def signed_in(browser: Browser, it: Installation, **look: Any) -> BrowserContext:
    context = browser.new_context(base_url=it.base_url, timezone_id="Europe/Paris", locale="en-GB", **look)
    page = context.new_page()
    page.goto("/login")
    page.get_by_label("A key of your account").fill(it.api_key)
    page.get_by_role("button", name="Sign in with the key").click()
    page.wait_for_url("/")
    page.close()
    return context


def of_the_admin(browser: Browser, it: Installation, **look: Any) -> BrowserContext:
    context = browser.new_context(base_url=it.base_url, timezone_id="Europe/Paris", locale="en-GB", **look)
    page = context.new_page()
    page.goto("/admin/")
    page.get_by_role("textbox").first.fill("you@localhost")
    page.get_by_label("Password").fill(it.admin_password)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="What runs").wait_for()
    page.close()
    return context


def take(context: BrowserContext, pages: Pages, into: Path, look: str, *, whole: bool = True) -> None:
    page = context.new_page()
    for name, path in pages.items():
        _show(page, path)
        page.screenshot(path=into / f"{name}-{look}.png", full_page=whole and "#" not in path)
        say(f"  {name}-{look}.png")
    context.close()


def _show(page: Page, path: str) -> None:
    page.goto(path)
    page.wait_for_timeout(STILL_MS)


def every_picture(browser: Browser, it: Installation, scene: Scenery) -> None:
    for look, options in LOOKS.items():
        take(signed_in(browser, it, **options), own_pages(scene), INTO, look)
        take(of_the_admin(browser, it, **options), admin_pages(scene), INTO, look)


def doc_pictures(browser: Browser, it: Installation, scene: Scenery) -> None:
    pages = doc_pages(scene)
    ours = {name: path for name, path in pages.items() if not path.startswith("/admin")}
    take(signed_in(browser, it, **LOOKS["light"]), ours, DOCS, "light", whole=False)
    shown_dark = {name: ours[name] for name in IN_README}
    take(signed_in(browser, it, **LOOKS["dark"]), shown_dark, DOCS, "dark", whole=False)
    theirs = {name: pages[name] for name in pages.keys() - ours.keys()}
    take(of_the_admin(browser, it, **LOOKS["light"]), theirs, DOCS, "light", whole=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", action="store_true", help="renew the pictures of the documents")
    for_docs = parser.parse_args().docs
    path = path_of_chromium()
    if path is None:
        raise SystemExit(MISSING)
    into = DOCS if for_docs else INTO
    into.mkdir(parents=True, exist_ok=True)
    say("Starting an installation and giving it a busy day")
    with running({}) as it, scenery(it) as scene, chromium(path) as browser:
        (doc_pictures if for_docs else every_picture)(browser, it, scene)
    say(f"Look at them in {into.relative_to(ROOT)}.")


if __name__ == "__main__":
    main()
