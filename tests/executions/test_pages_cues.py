"""A user's own pages of cues: who sees them, what they hold, and what their buttons do."""

import html
import re
from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from cueapi import clock
from cueapi.middleware import PAGE_POLICY
from cues.models import Cue, Verdict
from executions.models import Execution
from executions.states import Status, Trigger
from tests.executions.test_strip import entry, run_of
from tests.support import make
from tests.support.admin import HEADER_VALUE, HOSTILE, alerted, failed, fired, inline_scripts, recurring
from tests.support.api import Api

pytestmark = [pytest.mark.django_db, pytest.mark.database]

MINUTE = timedelta(minutes=1)
QUERIES_MAX = 24
SECRET_URL = "http://ada:hunter2@127.0.0.1:9/hook/Xb2Kq9LmPz4Rt7Vw1Ny5?token=swordfish"
SECRETS = ["hunter2", "Xb2Kq9LmPz4Rt7Vw1Ny5", "swordfish", HEADER_VALUE]


@pytest.fixture(autouse=True)
def _loopback_receivers_are_welcome(settings: LazySettings) -> None:
    allowed = {"allow_http_callbacks": True, "callback_allow_cidrs": "127.0.0.0/8"}
    settings.CUEAPI = settings.CUEAPI.model_copy(update=allowed)


def browser_of(api: Api, **options: Any) -> Client:
    client = Client(**options)
    assert api.account
    client.force_login(api.account)
    return client


@pytest.fixture
def browser(api: Api) -> Client:
    return browser_of(api)


@pytest.fixture
def cue(api: Api) -> Cue:
    return recurring(api)


def text_of(browser: Client, path: str, **query: str) -> str:
    answer = browser.get(path, query)
    assert answer.status_code == 200, (path, answer.status_code)
    return str(answer.content.decode())


def said(answer: Any) -> list[str]:
    return [str(message) for message in answer.context["messages"]]


def press(browser: Client, cue: Cue, action: str, **data: str) -> list[str]:
    """The messages on the page that answers the button."""
    answer = browser.post(f"/cues/{cue.pk}/{action}", data)
    assert answer.status_code == 303
    return said(browser.get(answer["Location"]))


# --- Who sees them ----------------------------------------------------------------------------------------------

ACTIONS = ("fire", "pause", "resume")


def test_who_is_not_signed_in_is_asked_to(cue: Cue) -> None:
    for path in ("/cues", f"/cues/{cue.pk}"):
        answer = Client().get(path)
        assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, "/login")
    for action in ACTIONS:
        assert Client().post(f"/cues/{cue.pk}/{action}").status_code == 302
    cue.refresh_from_db()
    assert (cue.status, Execution.objects.count()) == ("active", 0)


def test_another_accounts_cue_is_not_there(stranger: Api, cue: Cue) -> None:
    outsider = browser_of(stranger)
    assert outsider.get(f"/cues/{cue.pk}").status_code == 404
    assert [outsider.post(f"/cues/{cue.pk}/{action}").status_code for action in ACTIONS] == [404] * 3
    assert cue.pk not in text_of(outsider, "/cues")
    cue.refresh_from_db()
    assert (cue.status, Execution.objects.count()) == ("active", 0)


@pytest.mark.parametrize("cue_id", ["cue_unknown", "x" * 500, "%00", "..%2f"])
def test_an_unknown_cue_is_a_page_that_says_so(cue_id: str, browser: Client, api: Api) -> None:
    answer = browser.get(f"/cues/{cue_id}")
    assert answer.status_code == 404


def test_a_form_of_another_site_does_nothing(api: Api, cue: Cue) -> None:
    forger = browser_of(api, enforce_csrf_checks=True)
    assert [forger.post(f"/cues/{cue.pk}/{action}").status_code for action in ACTIONS] == [403] * 3
    assert not Execution.objects.exists()


def test_nothing_is_done_by_get(browser: Client, cue: Cue) -> None:
    assert [browser.get(f"/cues/{cue.pk}/{action}").status_code for action in ACTIONS] == [405] * 3


# --- What they hold ---------------------------------------------------------------------------------------------


def test_hostile_text_is_escaped_and_the_strict_policy_obeyed(browser: Client, cue: Cue) -> None:
    alerted(failed(cue))
    for path in ("/cues", f"/cues/{cue.pk}", f"/cues/{cue.pk}?at={HOSTILE}", f"/cues?q={HOSTILE}&status={HOSTILE}"):
        answer = browser.get(path)
        text = answer.content.decode()
        assert HOSTILE not in text and "&lt;script&gt;" in text
        assert answer.headers["Content-Security-Policy"] == PAGE_POLICY
        assert not inline_scripts(text) and not re.search(r"<style|\sstyle=", text)


def test_no_secret_is_on_any_page(browser: Client, api: Api) -> None:
    cue = recurring(api, "quiet", callback={"url": SECRET_URL.replace("ada:hunter2@", "")})
    Cue.objects.filter(pk=cue.pk).update(
        callback_url=SECRET_URL, callback_headers={"Authorization": HEADER_VALUE}, on_failure_webhook=SECRET_URL
    )
    assert api.account and api.key
    for path in ("/cues", f"/cues/{cue.pk}"):
        text = text_of(browser, path)
        assert [secret for secret in [*SECRETS, api.key, api.account.webhook_secret] if secret in text] == []
    assert "Authorization: •••" in text


def test_the_page_draws_each_window_and_tells_the_same_as_a_table(browser: Client, cue: Cue) -> None:
    now = clock.now().replace(microsecond=0)
    run = run_of(cue, now - MINUTE)
    entry(cue, now - 5 * MINUTE, Verdict.MISSED, windows=3)
    entry(cue, now - MINUTE, Verdict.RAN, run=run)
    text = text_of(browser, f"/cues/{cue.pk}")
    assert len(re.findall(r'<g transform="translate', text)) == 4
    assert f'<a href="/executions/{run.pk}" class="mark mark-good"' in text
    assert "3 windows, missed</title>" in text
    assert "3 missed" in text and "1 success" in text
    assert "<summary>The same as a table</summary>" in text


def test_a_mark_that_did_not_run_leads_to_the_answer_why(browser: Client, cue: Cue) -> None:
    at = clock.now().replace(second=0, microsecond=0) + MINUTE
    entry(cue, at, Verdict.PAUSED)
    text = text_of(browser, f"/cues/{cue.pk}")
    (href,) = re.findall(r'<a href="([^"]+)" class="mark mark-idle"', text)
    answer = text_of(browser, href.replace("&amp;", "&").partition("#")[0])
    assert "It was skipped, because the cue was paused." in answer
    assert f'href="/audit?subject={cue.pk}"' in answer


def test_the_page_says_why_the_cue_is_not_due_then(browser: Client, cue: Cue) -> None:
    text = text_of(browser, f"/cues/{cue.pk}", at="2031-05-04T09:00", zone="cue")
    assert "is not due at 2031-05-04 09:00 in Europe/Paris" in text
    assert "That is not a time." in text_of(browser, f"/cues/{cue.pk}", at="soon")


def test_each_page_costs_few_queries_however_much_there_is(browser: Client, api: Api, cue: Cue) -> None:
    def queries(path: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            text_of(browser, path)
        return len(captured)

    alerted(failed(cue))
    at = clock.now() - 999 * MINUTE
    entry(cue, at, Verdict.RAN, run=run_of(cue, at))
    paths = ["/cues", f"/cues/{cue.pk}", f"/cues/{cue.pk}?at=2031-05-04T09:00"]
    few = [queries(path) for path in paths]
    for age in range(1, 30):
        at = clock.now() - age * MINUTE
        entry(cue, at, Verdict.RAN, run=run_of(cue, at, Status.FAILED, error_class="dns"))
        recurring(api, f"another {age}")
    assert [queries(path) for path in paths] == few
    assert max(few) <= QUERIES_MAX


def test_the_list_tells_schedule_last_verdict_and_failures(browser: Client, cue: Cue) -> None:
    run_of(cue, clock.now(), Status.FAILED)
    text = text_of(browser, "/cues")
    assert "At 09:00, Monday, in Europe/Paris" in text
    assert '<span class="tag tag-bad">failed</span>' in text
    assert '<span class="tag tag-bad">1</span>' in text


def test_filters_that_make_no_sense_are_told_how_to_mend(browser: Client, cue: Cue) -> None:
    assert "“broken” is none of: active, paused" in html.unescape(text_of(browser, "/cues", status="broken"))
    for place in ("nonsense", "older.1.", "newer.9" * 99):
        assert "This page of the list is not there any more." in text_of(browser, "/cues", at=place)


def test_cues_are_filtered_by_status_and_found_by_name(browser: Client, api: Api, cue: Cue) -> None:
    other = recurring(api, "another")
    press(browser, other, "pause")

    def found(**query: str) -> set[str]:
        return set(re.findall(r'<td data-label="Cue"><a href="/cues/(\w+)"', text_of(browser, "/cues", **query)))

    assert found() == {cue.pk, other.pk}
    assert found(status="paused") == {other.pk} == found(q="ANOTH")
    assert found(q="anoth", status="active") == set()


def test_paging_reaches_each_cue_once_while_others_are_made(browser: Client, api: Api, cue: Cue) -> None:
    there = [make.recurring(cue.account, name=f"copy {number}").pk for number in range(120)] + [cue.pk]
    found: list[str] = []
    path: str | None = "/cues"
    while path:
        text = text_of(browser, path)
        found += re.findall(r'<td data-label="Cue"><a href="/cues/(\w+)"', text)
        make.recurring(cue.account, name=f"new {len(found)}", created_at=clock.now() + timedelta(days=9999))
        older = re.search(r'rel="next" href="(\?[^"]+)"', text)
        path = f"/cues{html.unescape(older[1])}" if older else None
    assert sorted(found) == sorted(there)


def test_an_account_without_cues_is_told_how_to_make_one(browser: Client) -> None:
    assert "You have no cues yet. Make one with <code>POST /v1/cues</code>" in text_of(browser, "/cues")


# --- What the buttons do ----------------------------------------------------------------------------------------


def test_fire_makes_one_execution(browser: Client, cue: Cue) -> None:
    assert press(browser, cue, "fire") == ["Fired. Its execution is the first of the latest ones."]
    (run,) = Execution.objects.all()
    assert (run.cue_id, run.triggered_by) == (cue.pk, Trigger.MANUAL_FIRE)


def test_a_payload_that_is_written_on_the_page_is_merged_into_the_cues_own(browser: Client, api: Api) -> None:
    cue = recurring(api, "asks", payload={"kept": 1}, require_payload_override=True)
    (refusal,) = press(browser, cue, "fire")
    assert refusal == "This cue fires only with a payload_override."
    press(browser, cue, "fire", payload=' {"order": 17} ')
    (run,) = Execution.objects.all()
    assert run.payload == {"kept": 1, "order": 17}


@pytest.mark.parametrize("payload", ["{", "[1]", "17", '"text"', "null1", "[" * 5000, '{"a": NaN}', '{"a": "\\u0000"}'])
def test_a_payload_that_cannot_be_taken_is_told_why(payload: str, browser: Client, cue: Cue) -> None:
    (refusal,) = press(browser, cue, "fire", payload=payload)
    assert "payload" in refusal
    assert not Execution.objects.exists()


def test_the_page_leads_to_all_executions_and_failures_of_the_cue(browser: Client, cue: Cue) -> None:
    run = failed(cue)
    text = html.unescape(text_of(browser, f"/cues/{cue.pk}"))
    for name in ("All its executions", "All that failed"):
        (href,) = re.findall(rf'<a href="([^"]+)">{name}<', text)
        assert f"/executions/{run.pk}" in text_of(browser, href)


def test_fires_from_the_page_count_towards_the_same_limit(browser: Client, cue: Cue, settings: LazySettings) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"fire_limit_per_hour": 1})
    press(browser, cue, "fire")
    (refusal,) = press(browser, cue, "fire")
    assert "Fired" not in refusal
    assert Execution.objects.count() == 1


def test_pause_and_resume_do_what_the_api_does(browser: Client, cue: Cue) -> None:
    (paused,) = press(browser, cue, "pause")
    assert paused.startswith("Paused: ")
    cue.refresh_from_db()
    assert (cue.status, cue.next_run, cue.periodic_task.enabled) == ("paused", None, False)
    press(browser, cue, "resume")
    cue.refresh_from_db()
    assert (cue.status, cue.periodic_task.enabled) == ("active", True)


def test_what_is_refused_is_a_message_and_no_error(browser: Client, cue: Cue) -> None:
    Cue.objects.filter(pk=cue.pk).update(status="completed", next_run=None)
    assert press(browser, cue, "pause") == ["This cue is completed; there is nothing to pause."]


def test_a_switch_in_the_list_leads_back_to_the_same_list(browser: Client, cue: Cue) -> None:
    answer = browser.post(f"/cues/{cue.pk}/pause", {"next": "/cues?status=active"})
    assert (answer.status_code, answer["Location"]) == (303, "/cues?status=active")
    elsewhere = browser.post(f"/cues/{cue.pk}/resume", {"next": "https://evil.example/"})
    assert elsewhere["Location"] == f"/cues/{cue.pk}"


def test_the_buttons_fit_the_status(browser: Client, cue: Cue) -> None:
    def buttons() -> set[str]:
        return set(re.findall(rf'action="/cues/{cue.pk}/(\w+)"', text_of(browser, f"/cues/{cue.pk}")))

    assert buttons() == {"fire", "pause"}
    press(browser, cue, "pause")
    assert buttons() == {"fire", "resume"}


def test_a_one_time_cue_shows_its_executions(browser: Client, api: Api) -> None:
    cue = recurring(api, "single", schedule={"type": "one-time", "at": None})
    run = fired(cue)
    text = text_of(browser, f"/cues/{cue.pk}")
    assert f"/executions/{run.pk}" in text and "manual fire" in text
    assert "The last due time<" in text
