"""What people do on the pages, in a real browser: they see what ran, read why it failed, and put it right."""

import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.proofs.client import Client
from tests.support.deadline import eventually
from tests.support.processes import Installation
from tests.support.receiver import Answer, Receiver

pytestmark = [pytest.mark.browser, pytest.mark.processes]

AT_ONCE = {"type": "one-time", "at": None}
EVERY_MORNING = {"type": "recurring", "cron": "0 9 * * *", "timezone": "Europe/Paris"}
ONE_TRY = {"max_attempts": 1, "backoff_minutes": [1]}
EXECUTION = re.compile(r"/executions/[0-9a-f-]{36}$")


def row_of(page: Page, name: str) -> Locator:
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True))


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def mailed_link(it: Installation, email: str) -> str:
    """The path of the link for that address, out of the log of a server without mail."""

    def link() -> str | None:
        lines = [line for line in it.log("web").splitlines() if "login.link_not_mailed" in line and email in line]
        return lines[-1] if lines else None

    (path,) = re.findall(r"http://[^/\s]+(/[^\s\"]+)", eventually(link, what="a mailed link") or "")
    return str(path)


def test_somebody_signs_in_with_a_mailed_link_and_out_again(new_page: Page, it: Installation) -> None:
    new_page.goto("/executions")
    new_page.get_by_label("Your e-mail address").fill("grace@example.org")
    press(new_page, "Send me a link")
    expect(new_page.get_by_role("heading", name="Look into your mail")).to_be_visible()

    new_page.goto(mailed_link(it, "grace@example.org"))
    press(new_page, "Sign in")
    expect(new_page.get_by_role("heading", name="Executions")).to_be_visible()
    expect(new_page.get_by_text("Nothing has run yet.")).to_be_visible()

    press(new_page, "Sign out")
    new_page.goto("/executions")
    expect(new_page.get_by_role("heading", name="Sign in", exact=True)).to_be_visible()


def test_a_failure_arrives_by_itself_tells_why_and_is_put_right(page: Page, client: Client, receiver: Receiver) -> None:
    receiver.will_answer(Answer(500, {"error": "the model is overloaded"}))
    receiver.default = Answer(200, {"success": True, "result": "12 mails summarised"})
    page.goto("/executions")
    expect(page.get_by_text("Connected")).to_be_visible()

    client.create_cue("sort-inbox", AT_ONCE, receiver.url, payload={"inbox": "support"}, retry=ONE_TRY)
    expect(row_of(page, "sort-inbox")).to_contain_text("failed")

    row_of(page, "sort-inbox").get_by_role("link").first.click()
    expect(page).to_have_url(EXECUTION)
    failed_at = page.url
    expect(page.get_by_role("heading", name="Attempt 1: answered 500")).to_be_visible()
    expect(page.get_by_text("the model is overloaded").first).to_be_visible()
    expect(page.get_by_text('"inbox": "support"').first).to_be_visible()

    press(page, "Replay as sent")
    expect(page).to_have_url(EXECUTION)
    assert page.url != failed_at
    expect(page.get_by_text("12 mails summarised").first).to_be_visible()
    expect(page.get_by_role("heading", name="Attempt 1: answered 200")).to_be_visible()
    assert len(receiver.received) == 2


def test_a_cue_is_paused_and_resumed_from_its_page(page: Page, client: Client, receiver: Receiver) -> None:
    cue = client.create_cue("morning-brief", EVERY_MORNING, receiver.url)
    page.goto("/cues")
    page.get_by_role("link", name="morning-brief", exact=True).click()
    expect(page.get_by_text("09:00").first).to_be_visible()

    press(page, "Pause")
    expect(page.get_by_role("button", name="Resume", exact=True)).to_be_visible()
    assert client.get(f"/v1/cues/{cue['id']}")["status"] == "paused"

    press(page, "Resume")
    expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()
    assert client.get(f"/v1/cues/{cue['id']}")["status"] == "active"


def test_a_device_is_signed_in(new_page: Page, client: Client, it: Installation) -> None:
    code = "WXYZ-7345"
    began = client.post("/v1/auth/device-code", {"device_code": code})

    new_page.goto(began["verification_url"])
    expect(new_page.get_by_text(code)).to_be_visible()
    new_page.get_by_label("Your e-mail address").fill("linus@example.org")
    press(new_page, "Send me a sign-in link")
    expect(new_page.get_by_role("status")).to_contain_text("linus@example.org")

    new_page.goto(mailed_link(it, "linus@example.org"))
    expect(new_page.get_by_role("heading", name="Signed in as linus@example.org")).to_be_visible()
    assert client.post("/v1/auth/device-code/poll", {"device_code": code})["status"] == "approved"


def test_a_breaker_opened_by_hand_holds_webhooks_back_until_it_is_closed(
    page: Page, client: Client, receiver: Receiver
) -> None:
    client.create_cue("first", AT_ONCE, receiver.url)
    receiver.wait_for(1)
    page.goto("/destinations")
    steer(page, receiver, "Open the breaker")

    client.create_cue("held-back", AT_ONCE, receiver.url)
    page.goto("/executions")
    row_of(page, "held-back").get_by_role("link").first.click()
    expect(page.get_by_text(re.compile("breaker|held back|destination")).first).to_be_visible()
    assert len(receiver.received) == 1

    page.goto("/destinations")
    steer(page, receiver, "Close the breaker")
    receiver.wait_for(2, timeout_s=20)


def steer(page: Page, receiver: Receiver, button: str) -> None:
    panel = page.locator("section").filter(has_text=f"127.0.0.1:{receiver.port}")
    panel.get_by_text("Steer it by hand").click()
    panel.get_by_role("button", name=button).click()
    expect(page.get_by_role("status")).to_be_visible()


def test_many_dead_letters_are_counted_and_then_replayed(page: Page, client: Client, receiver: Receiver) -> None:
    receiver.will_answer(Answer(503), Answer(503), Answer(503))
    cue = client.create_cue("import-orders", EVERY_MORNING, receiver.url, retry=ONE_TRY)
    for _ in range(3):
        client.post(f"/v1/cues/{cue['id']}/fire", {})
    eventually(lambda: client.count(cue_id=cue["id"], status="failed") == 3, what="three failures")

    page.goto(f"/dead-letters?cue={cue['id']}")
    press(page, "Count them first")
    expect(page.get_by_role("main")).to_contain_text("3")
    page.get_by_role("button", name=re.compile("^Replay")).click()

    eventually(lambda: client.count(cue_id=cue["id"], status="success") == 3, what="three successes")
    page.goto(f"/dead-letters?cue={cue['id']}")
    expect(page.get_by_text("No dead letter matches.")).to_be_visible()


def test_the_pages_are_used_by_keyboard_alone(page: Page, client: Client, receiver: Receiver) -> None:
    client.create_cue("by-keyboard", AT_ONCE, receiver.url)
    page.goto("/executions")
    expect(row_of(page, "by-keyboard")).to_be_visible()

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(40):
        page.keyboard.press("Tab")
        if EXECUTION.search(str(focused(page, "href") or "")):
            break
    page.keyboard.press("Enter")
    expect(page).to_have_url(EXECUTION)


def focused(page: Page, attribute: str) -> Any:
    return page.evaluate("name => document.activeElement.getAttribute(name)", attribute)


def test_times_are_told_in_utc_and_in_the_readers_zone(page: Page, client: Client, receiver: Receiver) -> None:
    client.create_cue("in-paris", EVERY_MORNING, receiver.url)
    page.goto("/cues")

    expect(row_of(page, "in-paris").locator("time").first).to_contain_text("UTC")
    expect(row_of(page, "in-paris").locator("time").first).to_contain_text("Europe/Paris")
