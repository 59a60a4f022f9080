"""An account's keys and settings as pages."""

import re
from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client

from cueapi import accounts, clock
from cueapi.models import Account, ApiKey
from tests.support.api import Api
from tests.support.pages import HOSTILE, Browser

pytestmark = [pytest.mark.django_db, pytest.mark.database]

PAGES = ["/keys", "/settings"]
POSTS = [
    "/keys",
    "/keys/x/rename",
    "/keys/x/revoke",
    "/settings/save",
    "/settings/secret/webhook/show",
    "/settings/secret/webhook/replace",
]


@pytest.fixture
def account(api: Api) -> Account:
    assert api.account
    return api.account


@pytest.fixture
def browser(account: Account) -> Browser:
    return Browser(account)


# --- Who may enter ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*PAGES, *POSTS])
def test_who_is_not_signed_in_is_asked_to(path: str) -> None:
    answer = Client().post(path) if path in POSTS and path not in PAGES else Client().get(path)
    assert (answer.status_code, answer["Location"].split("?")[0]) == (302, "/login")


@pytest.mark.parametrize("path", POSTS)
def test_a_form_of_another_site_does_nothing(path: str, account: Account) -> None:
    forger = Client(enforce_csrf_checks=True)
    forger.force_login(account)
    assert forger.post(path, {"label": "x"}).status_code == 403


# --- Keys -------------------------------------------------------------------------------------------------------


def test_a_new_key_is_shown_once_and_works(browser: Browser, api: Api) -> None:
    answer = browser.post("/keys", label="laptop")
    (key,) = set(re.findall(r"cue_sk_\w{20,}", answer.content.decode()))
    assert "no-store" in answer.headers["Cache-Control"]
    assert key not in browser.text("/keys")
    assert Api(key=key).get("/v1/auth/keys").status_code == 200


@pytest.mark.parametrize("label", ["", "x" * 101, "a\x00b"])
def test_a_key_without_a_label_is_not_made_and_the_page_says_why(browser: Browser, label: str) -> None:
    before = ApiKey.objects.count()
    answer = browser.post("/keys", label=label)
    assert (answer.status_code, ApiKey.objects.count()) == (400, before)
    assert "A label has 1 to 100 characters" in answer.content.decode()


def test_a_key_is_renamed_and_revoked(browser: Browser, api: Api) -> None:
    browser.post("/keys", label="laptop")
    key = ApiKey.objects.get(label="laptop")
    assert "“desk”" in browser.post(f"/keys/{key.pk}/rename", label="desk").content.decode()
    assert "The key is revoked" in browser.post(f"/keys/{key.pk}/revoke").content.decode()
    key.refresh_from_db()
    assert (key.label, key.revoked_at is not None) == ("desk", True)


def test_the_last_key_is_kept_and_the_page_says_why(browser: Browser) -> None:
    key = ApiKey.objects.get()
    assert "last live key" in browser.post(f"/keys/{key.pk}/revoke").content.decode()
    key.refresh_from_db()
    assert key.revoked_at is None


@pytest.mark.parametrize("verb", ["rename", "revoke"])
def test_the_keys_of_others_are_out_of_reach(browser: Browser, verb: str) -> None:
    accounts.register("other@example.org", now=clock.now())
    theirs = ApiKey.objects.get(account__email="other@example.org")
    assert theirs.prefix not in browser.text("/keys")
    assert "No key with that id" in browser.post(f"/keys/{theirs.pk}/{verb}", label="mine").content.decode()
    theirs.refresh_from_db()
    assert (theirs.label, theirs.revoked_at) == ("default", None)


def test_a_hostile_label_stays_text(browser: Browser) -> None:
    browser.post("/keys", label=HOSTILE)
    assert "&lt;script&gt;" in browser.text("/keys")  # and the browser asserts that it is not there as it is


# --- Settings ---------------------------------------------------------------------------------------------------


def test_no_secret_is_on_the_page_until_it_is_asked_for(browser: Browser, account: Account) -> None:
    alert_secret = accounts.alert_secret(account)
    text = browser.text("/settings")
    assert account.webhook_secret not in text and alert_secret not in text
    shown = browser.post("/settings/secret/webhook/show")
    assert account.webhook_secret in shown.content.decode() and alert_secret not in shown.content.decode()
    assert "no-store" in shown.headers["Cache-Control"]
    assert alert_secret in browser.post("/settings/secret/alert/show").content.decode()


def test_a_replaced_delivery_secret_overlaps_for_a_day(browser: Browser, account: Account) -> None:
    old = account.webhook_secret
    text = browser.post("/settings/secret/webhook/replace").content.decode()
    account.refresh_from_db()
    assert "for 24 hours with the old one" in text and "The secret before it signs too, until" in text
    assert account.webhook_secret != old
    assert account.previous_webhook_secret == old


def test_the_alert_secret_is_replaced(browser: Browser, account: Account) -> None:
    old = accounts.alert_secret(account)
    browser.post("/settings/secret/alert/replace")
    account.refresh_from_db()
    assert account.alert_webhook_secret not in ("", old)


@pytest.mark.parametrize("verb", ["show", "replace"])
def test_a_secret_that_is_none_changes_nothing(browser: Browser, account: Account, verb: str) -> None:
    old = account.webhook_secret
    assert browser.post(f"/settings/secret/nonsense/{verb}").status_code == 200
    account.refresh_from_db()
    assert account.webhook_secret == old


def test_settings_are_saved(browser: Browser, account: Account, settings: LazySettings) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"callback_allow_cidrs": "127.0.0.0/8"})
    said: dict[str, Any] = {"email": "new@example.org", "alert_webhook_url": "https://127.0.0.1/alerts"}
    assert "Your settings are saved" in browser.post("/settings/save", **said).content.decode()
    account.refresh_from_db()
    assert (account.email, account.alert_webhook_url, account.alert_email) == (*said.values(), False)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"email": "nonsense"}, "Look at: email"),
        ({"email": ""}, "Look at: email"),
        ({"email": "taken@example.org"}, "exists"),
        ({"email": "new@example.org", "alert_webhook_url": "ftp://x"}, "alert_webhook_url"),
        ({"email": "new@example.org", "alert_webhook_url": "https://x/" + "y" * 3000}, "alert webhook url"),
    ],
)
def test_what_cannot_be_saved_changes_nothing_and_says_why(
    browser: Browser, account: Account, said: dict[str, str], why: str
) -> None:
    accounts.register("taken@example.org", now=clock.now())
    before = account.email
    text = browser.post("/settings/save", **said).content.decode()
    account.refresh_from_db()
    assert (account.email, account.alert_webhook_url) == (before, "")
    assert 'class="message message-error"' in text
    assert why in text or "http" in text
