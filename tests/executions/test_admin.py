"""Every page of the admin, and what it does with executions."""

import re
from typing import Any

import pytest
from django.contrib import admin as django_admin
from django.test import Client

from cueapi import accounts, clock, keys
from cueapi.middleware import ADMIN_POLICY
from cueapi.models import ApiKey
from cues.models import Cue
from executions.models import Execution
from executions.states import Trigger
from tests.support.admin import (
    HEADER_VALUE,
    HOSTILE,
    NAMES,
    Admin,
    World,
    failed,
    fired,
    inline_scripts,
    list_url,
    page_url,
    recurring,
    staff,
    superuser,
    world,
)
from tests.support.api import Api

pytestmark = [pytest.mark.django_db, pytest.mark.database]

LISTS = sorted(list_url(model) for model in NAMES)
OTHER_PAGES = ["/admin/", "/admin/password_change/", "/admin/django_celery_beat/periodictask/add/"]
QUERIES_MAX = 15
QUERIES_OF_CUE_MAX = 24


@pytest.fixture(autouse=True)
def _loopback_receivers_are_welcome(settings: Any) -> None:
    allowed = {"allow_http_callbacks": True, "callback_allow_cidrs": "127.0.0.0/8"}
    settings.CUEAPI = settings.CUEAPI.model_copy(update=allowed)


@pytest.fixture
def root(db: None) -> Admin:
    return superuser()


@pytest.fixture
def rows(api: Api) -> World:
    return world(api)


def all_pages(rows: World) -> list[str]:
    pages = [page_url(row) for row in rows.rows]
    account = page_url(rows.cue.account).replace("change/", "password/")
    return [*LISTS, *OTHER_PAGES, *pages, account, page_url(rows.cue).replace("change/", "delete/")]


# --- Every page -------------------------------------------------------------------------------------------------


def test_the_lists_tried_here_are_all_there_are() -> None:
    assert set(NAMES) == set(django_admin.site._registry)


def test_a_superuser_can_open_every_page_and_none_holds_a_script_its_policy_would_stop(
    root: Admin, rows: World
) -> None:
    assert "'unsafe-inline'" not in ADMIN_POLICY.partition("script-src")[2]
    assert root.client.get("/admin/").headers["Content-Security-Policy"] == ADMIN_POLICY
    assert {page: found for page in all_pages(rows) if (found := inline_scripts(root.text(page)))} == {}


def test_nobody_else_can_open_any(api: Api, rows: World) -> None:
    pages = all_pages(rows)
    stranger, customer = Client(), Client()
    customer.force_login(api.account)
    for client in (stranger, customer):
        answers = {page: client.get(page) for page in pages}
        assert {answer.status_code for answer in answers.values()} == {302}
        assert all(answer["Location"].startswith("/admin/login/") for answer in answers.values())


def test_hostile_text_is_escaped_on_every_page(root: Admin, rows: World) -> None:
    texts = {page: root.text(page) for page in all_pages(rows)}
    assert [page for page, text in texts.items() if HOSTILE in text] == []
    shown = [page for page, text in texts.items() if "&lt;script&gt;alert(1)&lt;/script&gt;" in text]
    assert {page_url(rows.cue), page_url(rows.execution), list_url(Execution), list_url(Cue)} <= set(shown)


def test_a_hostile_result_url_is_no_link(root: Admin, rows: World) -> None:
    page = root.text(page_url(rows.execution))
    assert "javascript:alert(1)" in page
    assert 'href="javascript' not in page


def test_no_secret_is_on_any_page(root: Admin, api: Api, rows: World) -> None:
    account = api.account
    assert account and api.key
    account.alert_webhook_secret = "the-alert-secret"
    account.save(update_fields=["alert_webhook_secret"])
    key_hash = keys.hash_key(api.key)
    assert ApiKey.objects.filter(hash=key_hash).exists()
    secrets = [account.webhook_secret, "the-alert-secret", api.key, key_hash, HEADER_VALUE, root.account.password]
    own_page = page_url(root.account)
    for page in [*all_pages(rows), own_page]:
        text = root.text(page)
        assert [secret for secret in secrets if secret in text] == [], page


def test_a_list_costs_the_same_few_queries_however_long_it_is(root: Admin, api: Api, rows: World) -> None:
    failed(recurring(api, "one"))
    few = {page: root.queries(page) for page in LISTS}
    for number in range(7):
        failed(recurring(api, f"another {number}", schedule={"type": "recurring", "cron": f"{number} 3 * * *"}))
        accounts.register(f"another-{number}@example.org", now=clock.now())
    assert {page: root.queries(page) for page in LISTS} == few
    assert max(few.values()) <= QUERIES_MAX


def test_the_page_of_a_run_costs_few_queries(root: Admin, rows: World) -> None:
    assert root.queries(page_url(rows.execution)) <= QUERIES_MAX
    assert root.queries(page_url(rows.cue)) <= QUERIES_OF_CUE_MAX


# --- Executions -------------------------------------------------------------------------------------------------


def test_the_page_of_an_execution_shows_its_attempts_and_history(root: Admin, rows: World) -> None:
    page = root.text(page_url(rows.execution))
    for said in ("12 ms", "answered 500", "a fire by hand", "attempt started", "the receiver said"):
        assert said in page
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} UTC", page)


def test_an_execution_can_be_neither_made_changed_nor_deleted(root: Admin, rows: World) -> None:
    url = page_url(rows.execution)
    assert root.client.get(f"{list_url(Execution)}add/").status_code == 403
    assert root.client.post(url, {"status": "success"}).status_code == 403
    assert root.client.post(url.replace("change/", "delete/"), {"post": "yes"}).status_code == 403
    rows.execution.refresh_from_db()
    assert rows.execution.status == "failed"


@pytest.mark.parametrize("form", ["{}", "exec_{}", "  {} "])
def test_an_execution_is_found_by_its_whole_id(form: str, root: Admin, rows: World) -> None:
    found = root.client.get(list_url(Execution), {"q": form.format(rows.execution.pk)}).context["cl"].result_list
    assert [run.pk for run in found] == [rows.execution.pk]


def test_executions_are_found_by_their_cue(root: Admin, api: Api, rows: World) -> None:
    other = fired(recurring(api, "quite another"))
    for term in (other.cue_id, "ite anoth"):
        found = root.client.get(list_url(Execution), {"q": term}).context["cl"].result_list
        assert [run.pk for run in found] == [other.pk]


def test_executions_are_filtered_by_what_became_of_them(root: Admin, rows: World) -> None:
    query = {"status__exact": "failed", "outcome_state__exact": "reported_failure", "transport__exact": "webhook"}
    found = root.client.get(list_url(Execution), query).context["cl"].result_list
    assert [run.pk for run in found] == [rows.execution.pk]


def test_replay_makes_a_new_execution_and_links_to_it(root: Admin, rows: World) -> None:
    before = set(Execution.objects.values_list("pk", flat=True))
    page = root.act("replay", rows.execution)
    (replayed,) = Execution.objects.exclude(pk__in=before)
    assert (replayed.triggered_by, replayed.replayed_from_id) == (Trigger.REPLAY, rows.execution.pk)
    assert "Replayed as" in page
    assert page_url(replayed) in page


def test_an_execution_in_flight_is_not_replayed_and_the_message_says_why(root: Admin, api: Api) -> None:
    execution = fired(recurring(api))
    page = root.act("replay", execution)
    assert "This execution has not ended. Replay it when it has." in page
    assert Execution.objects.count() == 1


def test_the_page_offers_replay_only_for_what_has_ended(root: Admin, api: Api, rows: World) -> None:
    assert 'value="replay"' in root.text(page_url(rows.execution))
    assert 'value="replay"' not in root.text(page_url(fired(rows.cue)))


def test_a_button_returns_to_its_page(root: Admin, rows: World) -> None:
    data = {"action": "replay", "_selected_action": str(rows.execution.pk), "index": "0", "from_page": "1"}
    answer = root.client.post(list_url(Execution), data)
    assert (answer.status_code, answer["Location"]) == (302, page_url(rows.execution))


def test_all_rows_of_all_pages_cannot_be_chosen_at_once(root: Admin, rows: World) -> None:
    before = Execution.objects.count()
    page = root.act("replay", rows.execution, select_across="1")
    assert "one page at a time" in page
    assert Execution.objects.count() == before


# --- Firing cues ------------------------------------------------------------------------------------------------


def test_fire_makes_an_execution_of_each_chosen_cue(root: Admin, api: Api) -> None:
    first, second = recurring(api, "first"), recurring(api, "second")
    page = root.act("fire", first, second)
    assert sorted(run.cue_id for run in Execution.objects.all()) == sorted([first.pk, second.pk])
    assert {run.triggered_by for run in Execution.objects.all()} == {Trigger.MANUAL_FIRE}
    assert all(page_url(run) in page for run in Execution.objects.all())


def test_a_cue_that_wants_a_payload_is_not_fired_without(root: Admin, api: Api) -> None:
    cue = recurring(api, require_payload_override=True)
    page = root.act("fire", cue)
    assert "This cue fires only with a payload_override." in page
    assert not Execution.objects.exists()


def test_the_page_of_a_cue_links_to_its_latest_twenty_executions(root: Admin, api: Api) -> None:
    cue, other = recurring(api), recurring(api, "other")
    runs = [fired(cue) for _ in range(21)]
    elsewhere = fired(other)
    page = root.text(page_url(cue))
    shown = [run.pk for run in runs if page_url(run) in page]
    assert shown == [run.pk for run in runs[1:]]
    assert page_url(elsewhere) not in page


def test_the_page_of_a_cue_shows_what_its_owner_sees(root: Admin, api: Api) -> None:
    cue = recurring(api)
    page = root.text(page_url(cue))
    assert "Makes one execution beside the schedule" in page and "does not happen" in page
    assert "Next due times" in page and "At 09:00, Monday, in Europe/Paris" in page
    asked = root.client.get(page_url(cue), {"at": "2031-05-04T09:00"}).content.decode()
    assert "is not due at 2031-05-04 11:00 in Europe/Paris" in asked


def test_the_page_of_a_cue_leads_to_all_its_executions_and_failures(root: Admin, rows: World) -> None:
    page = root.text(page_url(rows.cue)).replace("&amp;", "&")
    for name in ("All its executions", "All that failed"):
        (href,) = re.findall(rf'<a href="([^"]+)">{name}<', page)
        found = root.client.get(href).context["cl"].result_list
        assert {run.cue_id for run in found} == {rows.cue.pk}


def test_a_button_of_the_part_acts_and_returns_to_its_page(root: Admin, api: Api) -> None:
    cue = recurring(api)
    assert '<input type="hidden" name="from_page" value="1">' in root.text(page_url(cue))
    data = {"action": "pause", "_selected_action": cue.pk, "index": "0", "from_page": "1"}
    answer = root.client.post(list_url(Cue), data)
    assert answer["Location"] == page_url(cue)
    cue.refresh_from_db()
    assert cue.status == "paused"


def test_the_list_of_cues_tells_schedules_in_words_and_failures_in_a_row(root: Admin, api: Api) -> None:
    failed(recurring(api))
    shown = root.client.get(list_url(Cue))
    (cue,) = shown.context["cl"].result_list
    assert cue.lately.failures == 1
    page = shown.content.decode()
    assert "At 09:00, Monday, in Europe/Paris" in page and "Failures in a row" in page


# --- Who may act ------------------------------------------------------------------------------------------------


def test_who_may_only_look_is_offered_no_action_and_cannot_run_one(rows: World) -> None:
    helper = staff("view_execution", "view_cue")
    assert 'value="replay"' not in helper.text(page_url(rows.execution))
    assert 'value="fire"' not in helper.text(page_url(rows.cue))
    before = Execution.objects.count()
    helper.act("replay", rows.execution)
    helper.act("fire", rows.cue)
    helper.act("pause", rows.cue)
    rows.cue.refresh_from_db()
    assert (Execution.objects.count(), rows.cue.status) == (before, "active")


def test_who_may_change_executions_may_replay_them(rows: World) -> None:
    before = Execution.objects.count()
    staff("change_execution").act("replay", rows.execution)
    assert Execution.objects.count() == before + 1


def test_an_action_without_a_csrf_token_is_refused(root: Admin, rows: World) -> None:
    forger = Client(enforce_csrf_checks=True)
    forger.force_login(root.account)
    before = Execution.objects.count()
    data = {"action": "replay", "_selected_action": str(rows.execution.pk), "index": "0"}
    assert forger.post(list_url(Execution), data).status_code == 403
    assert forger.get(list_url(Execution), data).status_code in (200, 302)
    assert Execution.objects.count() == before
