"""What changed since a position: each change once, in order, wherever a stream goes on, however late one commits."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from cueapi.models import Account
from cues.models import Cue
from executions import feed
from executions.feed import Look, Position, Unreadable, Wanted
from executions.models import Execution
from executions.states import Status
from tests.support import make
from tests.support.make import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.database]

SECOND = timedelta(seconds=1)
START = Position(NOW)
ALL = Wanted()


@pytest.fixture
def cue() -> Cue:
    return make.recurring(make.account())


def changed(cue: Cue, seconds: float, **columns: Any) -> Execution:
    return make.execution(cue, updated_at=NOW + seconds * SECOND, **columns)


def look(cue: Cue, position: Position, seconds: float, wanted: Wanted = ALL) -> Look:
    return feed.look(Account.objects.get(), wanted, position, now=NOW + seconds * SECOND)


def ids(found: Look) -> list[UUID]:
    return [change.execution.pk for change in found.changes]


def test_changes_come_oldest_first_and_once(cue: Cue) -> None:
    late, early = changed(cue, 2), changed(cue, 1)
    first = look(cue, START, 3)
    assert ids(first) == [early.pk, late.pk]
    assert ids(look(cue, first.position, 4)) == []
    assert ids(look(cue, first.position, 60)) == []


def test_a_stream_that_breaks_after_any_event_goes_on_with_the_next(cue: Cue) -> None:
    made = [changed(cue, n / 10).pk for n in range(1, 9)]
    found = look(cue, START, 3).changes
    for place, change in enumerate(found):
        resumed = Position.parse(str(change.position))
        for seconds in (3, 30):  # at once, and after all has settled
            assert ids(look(cue, resumed, seconds)) == made[place + 1 :]


def test_a_change_that_commits_late_is_not_lost_and_repeats_nothing(cue: Cue) -> None:
    quick = changed(cue, 3)
    first = look(cue, START, 3.5)
    assert ids(first) == [quick.pk]
    slow = changed(cue, 1)  # began before, and is seen only now
    assert ids(look(cue, Position.parse(str(first.changes[0].position)), 4)) == [slow.pk]


def test_the_next_change_of_a_marked_execution_is_another_event(cue: Cue) -> None:
    run = changed(cue, 1)
    first = look(cue, START, 2)
    Execution.objects.filter(pk=run.pk).update(updated_at=NOW + 1.5 * SECOND)
    second = look(cue, first.position, 2)
    assert ids(second) == [run.pk]
    assert ids(look(cue, second.position, 2)) == []


def test_many_changes_of_one_instant_come_each_once_in_pages(cue: Cue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "PAGE", 7)
    made = sorted(changed(cue, 1).pk for _ in range(20))
    position, seen = START, []
    for _ in range(5):
        found = look(cue, position, 30)
        seen += ids(found)
        position = found.position
    assert seen == made


def test_more_than_can_be_marked_waits_until_it_is_settled(cue: Cue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "MARKS_MAX", 5)
    made = [changed(cue, n / 10).pk for n in range(1, 9)]
    first = look(cue, START, 1)
    assert ids(first) == made[:5] and len(str(first.position)) < 400
    assert ids(look(cue, first.position, 2)) == []
    assert ids(look(cue, first.position, 9)) == made[5:]


def test_only_what_is_wanted_and_only_one_s_own(cue: Cue) -> None:
    ended, _ = changed(cue, 1, status=Status.SUCCESS), changed(cue, 1)
    changed(make.recurring(make.account("mallory@example.org")), 1)
    owner = cue.account

    def wanted(filters: Wanted) -> list[UUID]:
        return ids(feed.look(owner, filters, START, now=NOW + 9 * SECOND))

    assert wanted(Wanted(statuses=["success"])) == [ended.pk]
    assert len(wanted(Wanted(cue_id=cue.pk))) == len(wanted(Wanted())) == 2
    assert wanted(Wanted(cue_id="cue_000000000000")) == []


def test_a_look_is_one_query_by_the_index(cue: Cue) -> None:
    changed(cue, 1)
    with CaptureQueriesContext(connection) as queries:
        look(cue, START, 2)
    _account, query = queries.captured_queries
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_sort = off")
        cursor.execute(f"EXPLAIN {'QUERY PLAN ' if connection.vendor == 'sqlite' else ''}{query['sql']}")
        assert "execution_changed" in str(cursor.fetchall())


@pytest.mark.parametrize(
    "text", ["", "x", "1", "1-2", f"1-{'0' * 32}.short", f"{'9' * 17}9-{'0' * 32}", "1-" + "z" * 32]
)
def test_what_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(Unreadable):
        Position.parse(text)
