"""Dead letters in the admin: found, and replayed or marked as handled, one by one or all that match, once counted."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from cueapi import clock
from cueapi.models import AuditEvent
from executions import handling
from executions.failures import ErrorClass
from executions.models import DeadLetter, Execution
from executions.states import Status
from tests.support import make
from tests.support.admin import Admin, list_url, page_url, staff, superuser

pytestmark = [pytest.mark.django_db, pytest.mark.database]

LIST = list_url(DeadLetter)
REPLAY, HANDLE = f"{LIST}all/replay", f"{LIST}all/handle"
AN_HOUR_AGO = timedelta(hours=1)


@pytest.fixture
def root(db: None) -> Admin:
    return superuser()


def letter(email: str = "ada@example.org", url: str = make.NOWHERE, **columns: Any) -> Execution:
    """One that ended an hour ago."""
    owner = make.Account.objects.filter(email=email).first() or make.account(email)
    ended = {"status": Status.FAILED, "closed_at": clock.now() - AN_HOUR_AGO, "error_class": ErrorClass.HTTP_5XX}
    return make.execution(make.cue(owner, next_run=None, callback_url=url), **ended | columns)


def found(root: Admin, **query: str) -> set[Any]:
    return {one.pk for one in root.client.get(LIST, query).context["cl"].result_list}


def replayed() -> list[Any]:
    made = Execution.objects.filter(replayed_from__isnull=False)
    return sorted(made.values_list("replayed_from", flat=True))


def asked(root: Admin, url: str) -> str:
    """The page that counts; its time is what the confirmation sends back."""
    return str(root.client.get(url).content.decode())


def confirm(root: Admin, url: str, page: str = "", **data: str) -> str:
    until = re.findall(r'name="until" value="([^"]+)"', page)
    return str(root.client.post(url, {"until": until[0] if until else "", **data}, follow=True).content.decode())


# --- The list ---------------------------------------------------------------------------------------------------


def test_the_list_has_what_ended_badly_and_waits_for_somebody(root: Admin) -> None:
    waits, handled, again = letter(), letter(), letter()
    letter(status=Status.SUCCESS, error_class=None)
    handling.mark([handled.pk], handled=True, by="ada@example.org", now=clock.now())
    make.execution(again.cue, replayed_from=again)
    assert found(root) == {waits.pk}
    assert found(root, state="handled") == {handled.pk}
    assert found(root, state="replayed") == {again.pk}
    assert found(root, state="all") == {waits.pk, handled.pk, again.pk}
    page = root.text(f"{LIST}?state=all")
    assert "handled by ada@example.org" in page and "replayed as" in page


def test_they_are_found_by_destination_account_cue_error_and_time(root: Admin) -> None:
    mine = letter(url="https://agent.example.org/hook", error_class=ErrorClass.TIMEOUT)
    other = letter("bob@example.org", closed_at=clock.now() - timedelta(days=3))
    for query, wanted in (
        ({"q": "https://agent.example.org:443"}, mine),
        ({"q": "bob@example.org"}, other),
        ({"q": mine.cue_id}, mine),
        ({"q": str(other.pk)}, other),
        ({"error_class__exact": "timeout"}, mine),
        ({"ended": "day"}, mine),
    ):
        assert found(root, **query) == {wanted.pk}, query
    assert found(root, ended="week") == {mine.pk, other.pk}


@pytest.mark.parametrize("query", ["state=nonsense", "ended=yesterday", "ended=1..2", "ended=.."])
def test_a_filter_that_cannot_be_read_shows_no_error_page(root: Admin, query: str) -> None:
    letter()
    assert root.client.get(f"{LIST}?{query}", follow=True).status_code == 200
    assert root.client.get(f"{REPLAY}?{query}", follow=True).status_code == 200
    assert root.client.post(f"{REPLAY}?{query}", follow=True).status_code == 200
    assert replayed() == []


def test_its_page_is_that_of_the_execution(root: Admin) -> None:
    one = letter()
    assert root.client.get(f"{LIST}{one.pk}/change/")["Location"] == page_url(one)


def test_chosen_rows_are_replayed_and_marked(root: Admin) -> None:
    one, other = letter(), letter()
    assert "Replayed as" in root.act("replay", DeadLetter.objects.get(pk=one.pk))
    assert "Marked as handled: 1." in root.act("handle", DeadLetter.objects.get(pk=other.pk))
    assert (replayed(), found(root)) == ([one.pk], set())


# --- All that match ---------------------------------------------------------------------------------------------


def test_all_that_match_are_counted_and_only_then_replayed(root: Admin) -> None:
    ours, theirs, other = letter(), letter("bob@example.org"), letter(error_class=ErrorClass.TIMEOUT)
    url = f"{REPLAY}?error_class__exact=http_5xx"
    page = asked(root, url)
    assert "2 dead letters" in page and "ada@example.org: 1" in page and "bob@example.org: 1" in page
    assert replayed() == []
    assert "Replayed: 2." in confirm(root, url, page)
    assert replayed() == sorted([ours.pk, theirs.pk])
    assert found(root) == {other.pk}


def test_the_same_confirmation_twice_replays_once(root: Admin) -> None:
    one = letter()
    page = asked(root, REPLAY)
    confirm(root, REPLAY, page)
    assert "Replayed: 0." in confirm(root, REPLAY, page)
    assert replayed() == [one.pk]


def test_what_ends_after_the_count_is_left_alone(root: Admin) -> None:
    one = letter()
    page = asked(root, REPLAY)
    letter(closed_at=clock.now() + AN_HOUR_AGO)
    confirm(root, REPLAY, page)
    assert replayed() == [one.pk]


def test_they_run_again_as_sent_or_as_their_cue_is_now(root: Admin) -> None:
    one, other = letter(payload={"n": 1}), letter(payload={"n": 2})
    for run in (one, other):
        run.cue.payload = {"n": 9}
        run.cue.save()
    confirm(root, f"{REPLAY}?q={one.pk}")
    confirm(root, f"{REPLAY}?q={other.pk}", definition="current")
    made = {run.replayed_from_id: run.payload for run in Execution.objects.filter(replayed_from__isnull=False)}
    assert made == {one.pk: {"n": 1}, other.pk: {"n": 9}}


def test_an_account_past_its_month_is_told_of_and_keeps_nobody_else_back(root: Admin) -> None:
    over, fine = letter(), letter("bob@example.org")
    make.over_month(over.cue.account, now=clock.now())
    text = confirm(root, REPLAY)
    assert "ada@example.org: " in text and "Replayed: 1." in text
    assert replayed() == [fine.pk]


def test_more_than_are_done_at_once_say_that_there_are_more(root: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("executions.admin.dead_letters.LIMIT_MAX", 2)
    oldest = [letter(closed_at=clock.now() - timedelta(hours=hours)) for hours in (3, 2)]
    letter()
    assert "There are more: press it again." in confirm(root, REPLAY)
    assert replayed() == sorted(run.pk for run in oldest)


def test_all_that_match_are_marked_and_each_leaves_its_entry(root: Admin) -> None:
    marked, other = letter(error_class=ErrorClass.DNS), letter()
    url = f"{HANDLE}?error_class__exact=dns"
    assert "1 dead letter" in asked(root, url)
    assert "Marked as handled: 1." in confirm(root, url)
    assert found(root) == {other.pk}
    entry = AuditEvent.objects.get(action="execution.handled")
    assert (entry.subject_id, entry.actor) == (str(marked.pk), "root@example.org")


# --- Who may ----------------------------------------------------------------------------------------------------


def test_who_may_only_look_sees_the_list_and_can_do_nothing() -> None:
    one = letter()
    reader = staff("view_execution")
    assert found(reader) == {one.pk}
    assert "all/replay" not in reader.text(LIST)
    for url in (REPLAY, HANDLE):
        assert (reader.client.get(url).status_code, reader.client.post(url).status_code) == (403, 403)
    assert replayed() == []


def test_who_may_see_no_executions_sees_no_dead_letters() -> None:
    letter()
    assert staff("view_cue").client.get(LIST).status_code == 403


def test_a_form_of_another_site_does_nothing(root: Admin) -> None:
    letter()
    forger = Client(enforce_csrf_checks=True)
    forger.force_login(root.account)
    assert forger.post(REPLAY).status_code == 403
    assert replayed() == []


def test_nothing_else_can_be_done_to_all(root: Admin) -> None:
    assert root.client.get(f"{LIST}all/delete").status_code == 404


def test_the_list_and_the_count_cost_the_same_few_queries_however_many_there_are(root: Admin) -> None:
    letter()
    few = [root.queries(path) for path in (LIST, REPLAY)]
    for number in range(5):
        letter(f"another-{number}@example.org")
    assert [root.queries(path) for path in (LIST, REPLAY)] == few
    assert max(few) <= 15
