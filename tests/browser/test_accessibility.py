"""Every page, in light and in dark, at a desk and on a phone, against the rules that axe checks."""

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.admin.utils import quote
from playwright.sync_api import Browser, Page

from cueapi.pages import PLACES
from tests.support.processes import Installation
from tests.support.scenery import Scenery

pytestmark = [pytest.mark.browser, pytest.mark.processes]

GRAVE = ("serious", "critical")
SIGNED_OUT = ("/login", "/auth/device?code=WXYZ-7345", "/nothing-here")
PHONE = {"width": 390, "height": 844}


@pytest.fixture(params=["light", "dark"])
def look(request: pytest.FixtureRequest) -> Any:
    return request.param


def grave_faults(page: Page) -> list[str]:
    """Of the page that is open: which rule, and where."""
    found = Axe().run(page).response["violations"]
    return [
        f"{page.url} {fault['id']}: {node['target']} {node['failureSummary']}"
        for fault in found
        if fault["impact"] in GRAVE
        for node in fault["nodes"]
    ]


def faults_of(browser: Browser, it: Installation, paths: list[str], **options: Any) -> list[str]:
    with browser.new_context(base_url=it.base_url, **options) as context:
        page = context.new_page()
        seen: list[str] = []
        for path in paths:
            page.goto(path)
            seen += grave_faults(page)
        return seen


def test_no_page_of_ours_has_a_grave_fault(
    it: Installation, browser: Browser, cookies: Any, scene: Scenery, look: str
) -> None:
    paths = [path for path, _ in PLACES] + [scene.failed, scene.retried, scene.retrying, scene.cue]

    assert faults_of(browser, it, paths, storage_state=cookies, color_scheme=look) == []


def test_no_page_for_strangers_has_a_grave_fault(it: Installation, browser: Browser, look: str) -> None:
    assert faults_of(browser, it, list(SIGNED_OUT), color_scheme=look) == []


def test_no_page_of_the_admin_has_a_grave_fault(it: Installation, browser: Browser, scene: Scenery, look: Any) -> None:
    with browser.new_context(base_url=it.base_url, color_scheme=look) as context:
        page = context.new_page()
        page.goto("/admin/")
        page.get_by_role("textbox").first.fill("you@localhost")
        page.get_by_label("Password").fill(it.admin_password)
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="What runs").wait_for()
        lists = page.locator("#nav-sidebar-apps a").evaluate_all("all => all.map(a => a.pathname)")
        assert len(lists) > 5
        seen = []
        for path in ["/admin/", *lists, *map(in_admin, (scene.failed, scene.retrying, scene.cue))]:
            page.goto(path)
            seen += grave_faults(page)

    assert seen == []


def in_admin(path: str) -> str:
    """Where the admin shows what this page of ours shows."""
    _, kind, key = path.split("/")
    app = {"executions": "executions/execution", "cues": "cues/cue"}[kind]
    return f"/admin/{app}/{quote(key)}/change/"


def test_on_a_phone_no_page_is_wider_than_the_screen(
    it: Installation, browser: Browser, cookies: Any, scene: Scenery
) -> None:
    paths = [path for path, _ in PLACES] + [scene.failed, scene.retrying, scene.cue, *SIGNED_OUT]
    with browser.new_context(base_url=it.base_url, storage_state=cookies, viewport=PHONE, is_mobile=True) as context:
        page = context.new_page()
        wide = []
        for path in paths:
            page.goto(path)
            if page.evaluate("document.documentElement.scrollWidth") > PHONE["width"]:
                wide.append(path)

    assert wide == []
