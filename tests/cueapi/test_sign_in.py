"""Signing in to our own pages: by a mailed link, by a key, and what neither opens."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import time_machine
from django.conf import LazySettings
from django.core import mail as outbox
from django.test import Client

from cueapi import accounts, clock, mail
from cueapi.middleware import PAGE_POLICY
from cueapi.models import Account, ApiKey
from tests.support.api import Api

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]  # links go out on commit

Ask = Callable[..., str]


@pytest.fixture
def browser() -> Client:
    return Client()


@pytest.fixture
def link_for(browser: Client, caplog: pytest.LogCaptureFixture) -> Ask:
    """Asks for a link as a browser does; its path and query, out of the server's log."""

    def ask(email: str, next_path: str = "/") -> str:
        answer = browser.post("/login", {"email": email, "next": next_path})
        assert answer.status_code == 200, answer.content
        links = [vars(record)["open"] for record in caplog.records if record.msg == "login.link_not_mailed"]
        return re.sub(r"^https?://[^/]+", "", links[-1])

    return ask


def is_in(browser: Client) -> bool:
    return browser.get("/").status_code == 200


# --- The way in -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/?range=7d"])
def test_who_is_not_signed_in_is_asked_to_and_comes_back(browser: Client, path: str) -> None:
    answer = browser.get(path)
    assert answer.status_code == 302
    where = urlsplit(answer["Location"])
    assert (where.path, parse_qs(where.query)["next"]) == ("/login", [path])
    page = browser.get(answer["Location"])
    assert page.status_code == 200
    assert f'value="{path}"' in page.content.decode()


def test_the_page_obeys_the_strict_policy(browser: Client) -> None:
    page = browser.get("/login")
    assert page.headers["Content-Security-Policy"] == PAGE_POLICY
    assert "unsafe" not in PAGE_POLICY
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=", page.content.decode())


def test_a_mailed_link_signs_in_once(browser: Client, link_for: Ask, api: Api) -> None:
    assert api.account
    link = link_for(api.account.email.upper(), "/?range=7d")
    page = browser.get(link)
    assert (page.status_code, is_in(browser)) == (200, False)  # opening it is not enough: mail scanners do
    assert page.headers["Cache-Control"] == "no-store" and page.headers["Referrer-Policy"] == "strict-origin"
    answer = browser.post(link)
    assert (answer.status_code, answer["Location"]) == (303, "/?range=7d")
    assert is_in(browser)
    stranger = Client()
    refused = stranger.post(link)
    assert (refused.status_code, is_in(stranger)) == (400, False)
    assert "was used already" in refused.content.decode()


def test_a_link_expires_after_fifteen_minutes(browser: Client, link_for: Ask, api: Api) -> None:
    assert api.account
    link = link_for(api.account.email)
    with time_machine.travel(clock.now() + timedelta(minutes=15, seconds=2), tick=False):
        refused = browser.post(link)
    assert refused.status_code == 400
    assert "has expired" in refused.content.decode()


@pytest.mark.parametrize("token", ["", "x", "a:b:c", "\x00", "é"])
def test_what_is_no_link_of_ours_signs_nobody_in(browser: Client, token: str) -> None:
    for answer in (browser.get("/login/link", {"token": token}), browser.post("/login/link?token=" + token)):
        assert answer.status_code == 400
        assert "not a sign-in link" in answer.content.decode()


def test_a_new_address_gets_its_account_where_registration_is_open(browser: Client, link_for: Ask) -> None:
    assert browser.post(link_for("new@example.org")).status_code == 303
    assert Account.objects.get(email="new@example.org").is_active
    assert not ApiKey.objects.exists()
    assert is_in(browser)


def test_where_registration_is_closed_a_strange_address_gets_the_same_answer_and_no_link(
    browser: Client, settings: LazySettings, caplog: pytest.LogCaptureFixture, api: Api
) -> None:
    closed = {"allow_register": False, "env": "production"}
    settings.CUEAPI = settings.CUEAPI.model_copy(update=closed)
    assert api.account
    strange = browser.post("/login", {"email": "nobody@example.org"})
    assert [record for record in caplog.records if record.msg == "login.link_not_mailed"] == []
    known = browser.post("/login", {"email": api.account.email})
    texts = [
        page.content.decode().replace(address, "…")
        for page, address in ((strange, "nobody@example.org"), (known, api.account.email))
    ]
    assert texts[0] == texts[1]


def test_an_inactive_account_gets_no_link_and_its_old_one_is_dead(browser: Client, link_for: Ask, api: Api) -> None:
    assert api.account
    link = link_for(api.account.email)
    Account.objects.filter(pk=api.account.pk).update(is_active=False)
    assert browser.post(link).status_code == 400
    assert not is_in(browser)


def test_a_key_signs_in(browser: Client, api: Api) -> None:
    answer = browser.post("/login", {"api_key": f" {api.key} ", "next": "/"})
    assert (answer.status_code, answer["Location"]) == (303, "/")
    assert is_in(browser)


@pytest.mark.parametrize(
    ("data", "status", "said"),
    [
        ({"email": "nonsense"}, 400, "the whole address"),
        ({"email": ""}, 400, "the whole address"),
        ({}, 400, "the whole address"),
        ({"api_key": ""}, 400, "a whole API key"),
        ({"api_key": "cue_sk_unknown"}, 401, "knows no such API key"),
        ({"api_key": "x" * 300}, 400, "a whole API key"),
        ({"api_key": "a\x00b"}, 400, "a whole API key"),
    ],
)
def test_what_cannot_sign_in_is_told_why(browser: Client, data: dict[str, str], status: int, said: str) -> None:
    page = browser.post("/login", data)
    assert (page.status_code, is_in(browser)) == (status, False)
    assert said in page.content.decode()


def test_an_address_gets_three_links_an_hour(browser: Client, api: Api) -> None:
    assert api.account
    answers = [browser.post("/login", {"email": api.account.email}).status_code for _ in range(4)]
    assert answers == [200, 200, 200, 429]


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"]
)
def test_signing_in_leads_to_pages_of_ours_only(browser: Client, api: Api, elsewhere: str) -> None:
    answer = browser.post("/login", {"api_key": api.key, "next": elsewhere})
    assert (answer.status_code, answer["Location"]) == (303, "/")


# --- The way out, and what stays shut ---------------------------------------------------------------------------


def test_signing_out_ends_the_session(browser: Client, api: Api) -> None:
    browser.post("/login", {"api_key": api.key})
    assert browser.get("/logout").status_code == 405
    answer = browser.post("/logout")
    assert (answer.status_code, answer["Location"]) == (303, "/login")
    assert not is_in(browser)


@pytest.mark.parametrize("path", ["/login", "/login/link?token=x", "/logout"])
def test_a_form_of_another_site_does_nothing(path: str, api: Api) -> None:
    assert Client(enforce_csrf_checks=True).post(path, {"api_key": api.key}).status_code == 403


def test_neither_a_link_nor_a_key_opens_the_admin_and_the_password_does(browser: Client, link_for: Ask) -> None:
    account, key = accounts.register("root@example.org", now=clock.now())
    account.is_staff = account.is_superuser = True
    account.set_password("a-long-password")
    account.save()
    browser.post(link_for(account.email))
    assert is_in(browser)
    assert browser.get("/admin/").status_code == 302
    browser.post("/logout")
    browser.post("/login", {"api_key": key})
    assert browser.get("/admin/").status_code == 302
    password: dict[str, Any] = {"username": account.email, "password": "a-long-password", "next": "/admin/"}
    assert browser.post("/admin/login/", password).status_code == 302
    assert (browser.get("/admin/").status_code, is_in(browser)) == (200, True)


def test_the_mail_names_the_browser_and_holds_the_link() -> None:
    mail.send_link("ada@example.org", "", "https://cue.example.org/login/link?token=t")
    (letter,) = outbox.outbox
    assert "in a browser" in letter.body and "/login/link?token=t" in letter.body
