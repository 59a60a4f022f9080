"""The pages of the sign-in: what a code or an address may do to them, and what may use up a link."""

import re
from pathlib import Path

import pytest
from django.conf import LazySettings

import cueapi
from cueapi.middleware import PAGE_POLICY
from cueapi.models import Account
from tests.support.api import Api
from tests.support.login import CODE, logged_link, poll, start, submit

pytestmark = pytest.mark.django_db(transaction=True)  # links go out on commit

STATIC = Path(cueapi.__file__).parent / "static" / "cueapi"
HOSTILE = """"><script>alert('1')</script>{{ x }}</p>&#39;"""


@pytest.fixture
def link(anyone: Api, caplog: pytest.LogCaptureFixture) -> str:
    """The link that was sent for CODE."""
    start(anyone)
    submit(anyone)
    return logged_link(caplog)


@pytest.fixture
def button(settings: LazySettings) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"auth_verify_confirm": True})


# --- Where the browser goes first -------------------------------------------------------------------------------


def test_the_page_shows_the_code_and_asks_for_an_address(anyone: Api) -> None:
    page = anyone.get("/auth/device", code=CODE)
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    text = page.content.decode()
    assert f'<p class="code">{CODE}</p>' in text and f'data-code="{CODE}"' in text
    assert 'type="email"' in text
    assert "poll" not in text + (STATIC / "login.js").read_text()  # or the page would take the device's key


def test_a_hostile_code_stays_text(anyone: Api) -> None:
    start(anyone, HOSTILE)
    text = anyone.get("/auth/device", code=HOSTILE).content.decode()
    assert "&lt;script&gt;alert(&#x27;1&#x27;)" in text
    assert "<script>alert" not in text and HOSTILE not in text
    assert len(re.findall("<script", text)) == 2  # our own


@pytest.mark.parametrize("query", [{}, {"code": ""}, {"code": "x"}, {"code": "x" * 129}, {"code": "a\x00bcdef"}])
def test_without_a_code_the_page_says_where_to_get_one(anyone: Api, query: dict[str, str]) -> None:
    page = anyone.get("/auth/device", **query)
    assert page.status_code == 400
    assert "the whole address that your device printed" in page.content.decode()
    assert "<form" not in page.content.decode()


def test_the_script_and_the_style_are_files_of_ours(anyone: Api) -> None:
    page = anyone.get("/auth/device", code=CODE)
    assert page.headers["Content-Security-Policy"] == PAGE_POLICY
    text = page.content.decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|style=", text)
    links = {link for link in re.findall(r'(?:src|href)="([^"]+)"', text) if link not in ("#main", "/")}
    assert len(links) == 5  # the icon, two style sheets, two scripts
    for path in links:
        answer = anyone.get(path)
        assert (answer.status_code, path.startswith("/static/cueapi/")) == (200, True)
        answer.close()


def test_the_script_writes_text_only() -> None:
    script = (STATIC / "login.js").read_text()
    assert "textContent" in script
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|https?:", script)


# --- Where the mailed link leads --------------------------------------------------------------------------------


def test_the_page_says_that_it_worked(anyone: Api, link: str) -> None:
    page = anyone.get(link)
    assert page.status_code == 200
    assert "Signed in as ada@example.org" in page.content.decode() and CODE in page.content.decode()
    assert (page.headers["Cache-Control"], page.headers["Referrer-Policy"]) == ("no-store", "no-referrer")
    assert "Location" not in page.headers
    assert link.partition("token=")[2][:64] not in page.content.decode()


@pytest.mark.parametrize("change", [("token=", "token=0"), ("ABCD", "ABCE"), ("?token", "?x"), ("device_code", "x")])
def test_a_wrong_link_is_a_400_that_says_what_to_do(anyone: Api, link: str, change: tuple[str, str]) -> None:
    page = anyone.get(link.replace(*change))
    assert (page.status_code, page.headers["Content-Type"]) == (400, "text/html; charset=utf-8")
    assert "exactly as it was mailed" in page.content.decode()
    assert poll(anyone) == {"status": "email_sent"}


@pytest.mark.parametrize("query", ["", "?token=%00&device_code=%00%00%00%00%00%00", "?token=ä&device_code=ABCD-1234"])
def test_no_query_harms_the_page(anyone: Api, link: str, query: str) -> None:
    assert anyone.get(f"/v1/auth/verify{query}").status_code == 400


def test_a_used_link_says_so(anyone: Api, link: str) -> None:
    assert anyone.get(link).status_code == 200
    page = anyone.get(link)
    assert page.status_code == 400
    assert "used already" in page.content.decode()


def test_a_mail_scanner_that_asks_for_the_head_does_not_use_up_the_link(anyone: Api, link: str) -> None:
    assert anyone.send("HEAD", link).status_code == 200
    assert poll(anyone) == {"status": "email_sent"}
    assert anyone.get(link).status_code == 200


@pytest.mark.parametrize("header", ["sec_purpose", "purpose", "x_purpose", "x_moz"])
def test_a_browser_that_loads_ahead_gets_the_button(anyone: Api, link: str, header: str) -> None:
    page = anyone.send("GET", link, **{header: "prefetch;prerender"})
    assert page.status_code == 200 and '<form method="post">' in page.content.decode()
    assert poll(anyone) == {"status": "email_sent"}
    assert anyone.get(link).status_code == 200


def test_with_the_button_only_the_press_approves(anyone: Api, link: str, button: None) -> None:
    page = anyone.get(link)
    assert page.status_code == 200
    assert '<form method="post">' in page.content.decode() and "ada@example.org" in page.content.decode()
    assert (poll(anyone), Account.objects.count()) == ({"status": "email_sent"}, 0)
    assert anyone.post(link).status_code == 200
    assert poll(anyone)["status"] == "approved"
    assert (anyone.post(link).status_code, anyone.get(link).status_code) == (400, 400)


def test_the_form_of_a_browser_is_taken(anyone: Api, link: str, button: None) -> None:
    pressed = anyone._client.post(link, b"", content_type="application/x-www-form-urlencoded")
    assert pressed.status_code == 200


def test_with_the_button_a_wrong_link_shows_none(anyone: Api, link: str, button: None) -> None:
    page = anyone.get(link.replace("token=", "token=0"))
    assert page.status_code == 400 and "<form" not in page.content.decode()


def test_the_pages_are_not_rate_limited(anyone: Api, link: str) -> None:
    for page in (anyone.get("/auth/device", code=CODE), anyone.get(link), anyone.get(link)):
        assert "X-RateLimit-Limit" not in page.headers
