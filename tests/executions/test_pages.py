"""The user's own pages: who sees what, what they say, and what their buttons do."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.test import Client

from cueapi import accounts, clock
from cueapi.models import Account
from executions import steering, workers
from executions.feed import Position
from executions.models import Alert, Destination, Execution
from executions.states import BreakerState, OutcomeState, Trigger
from tests.support import make
from tests.support.admin import HEADER_VALUE, World, failed, fired, recurring, world
from tests.support.api import Api
from tests.support.pages import Browser

pytestmark = [pytest.mark.django_db, pytest.mark.database]

LISTS = ["/", "/executions", "/dead-letters", "/destinations", "/workers", "/alerts", "/usage", "/audit"]
QUERIES_MAX = 25


@pytest.fixture(autouse=True)
def _loopback_receivers_are_welcome(settings: Any) -> None:
    allowed = {"allow_http_callbacks": True, "callback_allow_cidrs": "127.0.0.0/8"}
    settings.CUEAPI = settings.CUEAPI.model_copy(update=allowed)


@pytest.fixture
def rows(api: Api) -> World:
    return world(api)


@pytest.fixture
def account(api: Api) -> Account:
    assert api.account
    return api.account


@pytest.fixture
def browser(account: Account) -> Browser:
    return Browser(account)


@pytest.fixture
def stranger() -> Browser:
    other, _ = accounts.register("other@example.org", now=clock.now())
    return Browser(other)


def page_of(execution: Execution) -> str:
    return f"/executions/{execution.pk}"


def newest() -> Execution:
    return Execution.objects.newest_first()[0]


def all_pages(rows: World) -> list[str]:
    return [*LISTS, "/dead-letters?replayed=any", "/alerts?seen=any", page_of(rows.execution)]


NOBODY = UUID(int=1)
POSTS = [
    "/dead-letters/replay",
    "/destinations/1/open",
    "/destinations/1/close",
    "/destinations/1/rate",
    "/workers/forget",
    "/alerts/acknowledge",
    f"/executions/{NOBODY}/replay",
    f"/executions/{NOBODY}/verdict",
    f"/executions/{NOBODY}/handled",
]


# --- Every page -------------------------------------------------------------------------------------------------


def test_who_is_not_signed_in_is_asked_to(rows: World) -> None:
    others = ["/live", "/executions/rows?ids=", f"{page_of(rows.execution)}/part"]
    for path in [*all_pages(rows), *others]:
        answer = Client().get(path)
        assert (answer.status_code, answer["Location"].split("?")[0]) == (302, "/login"), path
    for path in POSTS:
        assert Client().post(path)["Location"].startswith("/login"), path


@pytest.mark.parametrize("path", POSTS)
def test_a_form_of_another_site_does_nothing(path: str, account: Account) -> None:
    forger = Client(enforce_csrf_checks=True)
    forger.force_login(account)
    assert forger.post(path).status_code == 403
    assert forger.get(path).status_code == 405


def test_hostile_text_is_text_on_every_page(browser: Browser, rows: World) -> None:
    texts = {path: browser.text(path) for path in all_pages(rows)}  # the browser asserts that none is markup
    shown = [path for path, text in texts.items() if "&lt;script&gt;alert(1)&lt;/script&gt;" in text]
    assert {"/executions", "/dead-letters?replayed=any", page_of(rows.execution)} <= set(shown)
    assert 'href="javascript' not in "".join(texts.values())


def test_no_secret_is_on_any_page(browser: Browser, api: Api, account: Account, rows: World) -> None:
    secrets = [account.webhook_secret, accounts.alert_secret(account), api.key, HEADER_VALUE]
    for path in all_pages(rows):
        text = browser.text(path)
        assert [secret for secret in secrets if secret and secret in text] == [], path


def test_nothing_of_another_account_is_on_any_page(stranger: Browser, rows: World) -> None:
    marks = [str(rows.execution.pk)[:8], rows.cue.pk, "127.0.0.1:9"]
    for path in LISTS:
        text = stranger.text(path)
        assert [mark for mark in marks if mark in text] == [], path
    for path in (page_of(rows.execution), f"{page_of(rows.execution)}/part"):
        assert stranger.get(path).status_code == 404
    assert str(rows.execution.pk) not in stranger.text("/executions/rows", ids=str(rows.execution.pk))


def test_nothing_of_another_account_can_be_steered(stranger: Browser, rows: World) -> None:
    runs, alert = Execution.objects.count(), Alert.objects.get()
    destination = Destination.objects.get()
    assert stranger.post(f"{page_of(rows.execution)}/replay").status_code == 404
    stranger.post(f"{page_of(rows.execution)}/verdict", valid="yes")
    stranger.post(f"/destinations/{destination.pk}/open")
    stranger.post("/alerts/acknowledge", alert=str(alert.pk))
    stranger.post("/dead-letters/replay", confirmed="yes", replayed="any")
    alert.refresh_from_db()
    assert (Execution.objects.count(), alert.acknowledged_at) == (runs, None)
    assert Destination.objects.get(pk=destination.pk).state == destination.state
    rows.execution.refresh_from_db()
    assert rows.execution.outcome_state == OutcomeState.REPORTED_FAILURE


def test_a_page_costs_the_same_few_queries_however_much_is_on_it(browser: Browser, api: Api, rows: World) -> None:
    failed(recurring(api, "one"))
    few = {path: browser.queries(path) for path in all_pages(rows)}
    for number in range(5):
        failed(recurring(api, f"another {number}"))
    assert {path: browser.queries(path) for path in all_pages(rows)} == few
    assert max(few.values()) < QUERIES_MAX


@pytest.mark.parametrize(
    "query",
    ["status=x", "trigger=x", "error=x", "since=yesterday", "until=x", "at=x", "at=older.1.x", "id=x", "cue=%00"],
)
@pytest.mark.parametrize("path", ["/executions", "/dead-letters", "/alerts"])
def test_what_cannot_be_read_is_left_out_and_the_page_says_so(browser: Browser, path: str, query: str) -> None:
    browser.text(f"{path}?{query}")
    assert "Write 2031-05-04T09:00:00Z" in browser.text("/executions?since=yesterday")


@pytest.mark.parametrize("path", ["/", "/executions", "/cues"])
def test_a_page_answers_a_wrong_method_as_the_api_does(path: str) -> None:
    answer = Client(enforce_csrf_checks=True).post(path, {"a": "b"})
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")
    assert answer.json()["error"]["code"] == "method_not_allowed"


@pytest.mark.parametrize("path", ["/cues", "/executions", "/alerts"])
def test_who_calls_a_page_as_an_api_is_told_the_right_path(api: Api, path: str) -> None:
    for answer in (api.get(path), api.post(path, {})):
        assert answer.status_code == 404
        assert f"Did you mean /v1{path}?" in answer.json()["error"]["message"]


# --- Executions -------------------------------------------------------------------------------------------------


def test_executions_are_filtered_and_found(browser: Browser, api: Api, rows: World) -> None:
    other = fired(recurring(api, "quite another"))
    text = browser.text("/executions", status="failed", outcome="reported_failure")
    assert str(rows.execution.pk) in text and str(other.pk) not in text
    assert str(other.pk) in browser.text("/executions", cue=other.cue_id)
    answer = browser.client.get("/executions", {"id": f"exec_{other.pk}"})
    assert (answer.status_code, answer["Location"]) == (303, page_of(other))


def test_the_list_goes_on_page_by_page(browser: Browser, account: Account) -> None:
    cue = make.cue(account, next_run=None)
    runs = {str(make.execution(cue).pk) for _ in range(60)}
    first = browser.text("/executions")
    older = first.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    second = browser.text(f"/executions{older}")
    shown = [{pk for pk in runs if f'data-id="{pk}"' in text} for text in (first, second)]
    assert [len(page) for page in shown] == [50, 10]
    assert shown[0] | shown[1] == runs
    assert 'rel="prev"' in second and 'rel="next"' not in second


def test_the_newest_page_is_live_and_others_are_not(browser: Browser, rows: World) -> None:
    assert 'data-live="/live?from=' in browser.text("/executions")
    assert f'data-live="/live?cue={rows.cue.pk}&amp;from=' in browser.text("/executions", cue=rows.cue.pk)
    assert "data-live" not in browser.text("/executions", status="failed")


def streamed(browser: Browser, path: str, **headers: str) -> str:
    """The first of the stream: its greeting, and what was to be told at once."""
    answer = browser.client.get(path, headers=headers)
    chunks = iter(answer.streaming_content)
    first = [next(chunks) for _ in range(2)]
    answer.close()
    return b"".join(first).decode()


def test_what_changes_between_a_page_and_its_stream_is_told(browser: Browser, api: Api) -> None:
    page = browser.text("/executions")
    run = fired(recurring(api))
    live = page.partition('data-live="')[2].partition('"')[0].replace("&amp;", "&")
    assert str(run.pk) in streamed(browser, live)


def test_a_stream_that_broke_goes_on_after_its_last_event(browser: Browser, api: Api) -> None:
    cue = recurring(api)
    told = fired(cue)
    live = browser.text("/executions").partition('data-live="')[2].partition('"')[0].replace("&amp;", "&")
    last = Position(clock.now())
    later = fired(cue)
    again = streamed(browser, live, **{"Last-Event-ID": str(last)})
    assert str(later.pk) in again and str(told.pk) not in again


def test_rows_are_sent_for_a_list_that_is_live(browser: Browser, api: Api, rows: World) -> None:
    other = fired(recurring(api, "another"))
    text = browser.text("/executions/rows", ids=f"{rows.execution.pk},nonsense,{other.pk},{NOBODY}")
    assert text.count("<tr") == 2


# --- One execution ----------------------------------------------------------------------------------------------


def test_the_page_tells_what_became_of_it(browser: Browser, rows: World) -> None:
    text = browser.text(page_of(rows.execution))
    for said in ("It failed after 1 attempt:", "then replay it", "What was sent", "What came back", "12 ms", "curl -i"):
        assert said in text
    assert "data-follow" not in text


def test_one_that_goes_on_keeps_itself_up_to_date(browser: Browser, api: Api) -> None:
    execution = fired(recurring(api))
    part = f"{page_of(execution)}/part"
    assert f'data-follow="{part}"' in browser.text(page_of(execution))
    answer = browser.get(part)
    again = browser.client.get(part, headers={"If-None-Match": answer.headers["ETag"]})
    assert (answer.status_code, again.status_code, again.content) == (200, 304, b"")
    Execution.objects.filter(pk=execution.pk).update(updated_at=clock.now() + timedelta(seconds=1))
    assert browser.client.get(part, headers={"If-None-Match": answer.headers["ETag"]}).status_code == 200


def test_replay_leads_to_the_new_execution(browser: Browser, rows: World) -> None:
    text = browser.post(f"{page_of(rows.execution)}/replay").content.decode()
    made = newest()
    assert made.replayed_from_id == rows.execution.pk
    assert "It runs again, as a new execution." in text and str(made.pk) in text
    assert made.triggered_by == Trigger.REPLAY


def test_replay_with_the_definition_of_now(browser: Browser, rows: World) -> None:
    rows.cue.payload = {"new": True}
    rows.cue.save(update_fields=["payload"])
    browser.post(f"{page_of(rows.execution)}/replay", definition="current")
    assert newest().payload == {"new": True}


def test_one_in_flight_is_not_replayed_and_the_page_says_why(browser: Browser, api: Api) -> None:
    execution = fired(recurring(api))
    assert "has not ended" in browser.post(f"{page_of(execution)}/replay").content.decode()
    assert Execution.objects.count() == 1


def test_what_is_handled_leaves_the_dead_letters_and_can_come_back(browser: Browser, api: Api) -> None:
    execution = failed(recurring(api))
    text = browser.post(f"{page_of(execution)}/handled", handled="yes").content.decode()
    assert "marked it as handled" in text
    assert str(execution.pk) not in browser.text("/dead-letters")
    assert str(execution.pk) in browser.text("/dead-letters", handled="yes")
    assert "Nothing changed" in browser.post(f"{page_of(execution)}/handled", handled="yes").content.decode()
    browser.post(f"{page_of(execution)}/handled", handled="no")
    assert str(execution.pk) in browser.text("/dead-letters")


def test_what_did_not_end_badly_is_not_marked(browser: Browser, api: Api) -> None:
    execution = fired(recurring(api))
    assert "Nothing changed" in browser.post(f"{page_of(execution)}/handled", handled="yes").content.decode()
    execution.refresh_from_db()
    assert execution.handled_at is None


@pytest.mark.parametrize(
    ("valid", "state"), [("yes", OutcomeState.VERIFIED_SUCCESS), ("no", OutcomeState.VERIFICATION_FAILED)]
)
def test_an_outcome_is_verified_or_rejected(browser: Browser, rows: World, valid: str, state: str) -> None:
    browser.post(f"{page_of(rows.execution)}/verdict", valid=valid, reason="I looked")
    rows.execution.refresh_from_db()
    assert rows.execution.outcome_state == state
    again = browser.post(f"{page_of(rows.execution)}/verdict", valid=valid)
    assert 'class="message message-error"' in again.content.decode()


# --- Dead letters -----------------------------------------------------------------------------------------------


def test_all_that_match_are_counted_before_they_are_replayed(browser: Browser, api: Api, rows: World) -> None:
    other = failed(recurring(api, "quite another"))
    asked = browser.post("/dead-letters/replay", cue=other.cue_id).content.decode()
    assert "Replay 1 dead letter?" in asked
    assert not Execution.objects.filter(replayed_from=other).exists()
    done = browser.post("/dead-letters/replay", cue=other.cue_id, confirmed="yes").content.decode()
    assert "1 execution was replayed." in done
    assert newest().replayed_from_id == other.pk


def test_what_ends_after_the_count_is_not_replayed_with_the_others(browser: Browser, api: Api) -> None:
    counted = failed(recurring(api, "counted"))
    Execution.objects.filter(pk=counted.pk).update(closed_at=clock.now() - timedelta(minutes=1))
    asked = browser.post("/dead-letters/replay").content.decode()
    until = asked.partition('name="until" value="')[2].partition('"')[0]
    later = failed(recurring(api, "later"))
    browser.post("/dead-letters/replay", until=until, confirmed="yes")
    replayed = set(Execution.objects.filter(triggered_by=Trigger.REPLAY).values_list("replayed_from", flat=True))
    assert (counted.pk in replayed, later.pk in replayed) == (True, False)


@pytest.mark.parametrize("filters", [{"error": "x"}, {"since": "x"}, {"until": "x"}])
def test_with_a_filter_that_cannot_be_read_nothing_is_replayed(
    browser: Browser, api: Api, filters: dict[str, str]
) -> None:
    failed(recurring(api))
    text = browser.post("/dead-letters/replay", confirmed="yes", **filters).content.decode()
    assert 'class="message message-warning"' in text
    assert not Execution.objects.filter(triggered_by=Trigger.REPLAY).exists()


def test_what_was_replayed_is_shown_only_on_request(browser: Browser, rows: World) -> None:
    browser.post(f"{page_of(rows.execution)}/replay")
    assert str(rows.execution.pk) not in browser.text("/dead-letters")
    assert str(rows.execution.pk) in browser.text("/dead-letters", replayed="yes")


def test_a_bulk_replay_of_a_cue_that_is_not_there_says_so(browser: Browser, rows: World) -> None:
    assert 'class="message message-error"' in browser.post("/dead-letters/replay", cue="cue_none").content.decode()


# --- Destinations, workers, alerts ------------------------------------------------------------------------------


def test_a_breaker_is_opened_and_closed_by_hand(browser: Browser, rows: World) -> None:
    destination = Destination.objects.get()
    assert "The breaker is open" in browser.post(f"/destinations/{destination.pk}/open").content.decode()
    assert Destination.objects.get().state == BreakerState.OPEN
    assert "until you close it" in browser.text("/destinations")
    browser.post(f"/destinations/{destination.pk}/close")
    assert Destination.objects.get().state != BreakerState.OPEN


def test_of_many_destinations_those_in_trouble_are_shown_and_the_others_found_by_name(
    browser: Browser, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executions.pages.destinations.SHOWN", 2)
    for name, state in (("a", "closed"), ("b", "closed"), ("c", "open"), ("d", "half_open")):
        Destination.objects.create(account=account, lane=f"https://{name}.example.org", state=state)
    shown = [one["row"].lane[8] for one in browser.get("/destinations").context["rows"]]
    assert sorted(shown) == ["c", "d"]
    assert "There are more than 2" in browser.text("/destinations")
    (found,) = browser.get("/destinations", q="b.example").context["rows"]
    assert found["row"].lane == "https://b.example.org"
    assert "No destination matches" in browser.text("/destinations", q="nothing like it")


@pytest.mark.parametrize(("said", "kept"), [("30", 30), ("", None), ("0", 7), ("x", 7), ("9" * 30, 7)])
def test_a_rate_is_set_or_refused_with_the_reason(
    browser: Browser, account: Account, rows: World, said: str, kept: int | None
) -> None:
    destination = Destination.objects.get()
    steering.set_rate(account, str(destination.pk), 7, now=clock.now())
    text = browser.post(f"/destinations/{destination.pk}/rate", rate_per_minute=said).content.decode()
    assert Destination.objects.get().rate_per_minute == kept
    assert ("A rate is a whole number" in text) == (kept == 7)


def test_a_worker_is_shown_and_forgotten(browser: Browser, account: Account) -> None:
    workers.heartbeat(account, "gpu/1", now=clock.now())
    assert "gpu/1" in browser.text("/workers")
    assert "The worker is forgotten" in browser.post("/workers/forget", worker_id="gpu/1").content.decode()
    assert 'class="message message-error"' in browser.post("/workers/forget", worker_id="gpu/1").content.decode()


def test_alerts_are_acknowledged_and_then_kept_apart(browser: Browser, rows: World) -> None:
    alert = Alert.objects.get()
    assert str(alert.pk) in browser.text("/alerts")
    browser.post("/alerts/acknowledge", alert=str(alert.pk))
    alert.refresh_from_db()
    assert alert.acknowledged_at is not None
    assert "No alert waits for you." in browser.text("/alerts")
    assert "Acknowledged" in browser.text("/alerts", seen="yes")


def test_usage_is_shown_against_its_limit(browser: Browser, account: Account) -> None:
    assert "without a limit" in browser.text("/usage")
    account.monthly_execution_limit = 100
    account.save()
    assert "0 of 100 (0 %)" in browser.text("/usage")
