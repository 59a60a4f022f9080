"""Dead letters that somebody dealt with: marked once, with one entry in the audit trail."""

from functools import partial

import pytest

from cueapi.models import AuditEvent
from executions import handling
from executions.models import Execution
from executions.states import Status
from tests.support import make
from tests.support.make import NOW
from tests.support.together import at_once

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture
def failed() -> Execution:
    return make.execution(make.cue(make.account(), next_run=None), status=Status.FAILED)


def actions() -> list[str]:
    told = AuditEvent.objects.filter(subject_type="execution")
    return list(told.order_by("id").values_list("action", flat=True))


def test_a_mark_is_noted_with_who_made_it_and_can_be_taken_back(failed: Execution) -> None:
    assert handling.mark([failed.pk], handled=True, by="ada", now=NOW) == 1
    failed.refresh_from_db()
    assert (failed.handled_at, failed.handled_by) == (NOW, "ada")
    assert handling.mark([failed.pk], handled=False, by="ada", now=NOW) == 1
    failed.refresh_from_db()
    assert (failed.handled_at, failed.handled_by) == (None, None)
    assert actions() == ["execution.handled", "execution.unhandled"]


def test_what_is_no_news_changes_nothing_and_leaves_no_entry(failed: Execution) -> None:
    fine = make.execution(failed.cue, status=Status.SUCCESS)
    handling.mark([failed.pk], handled=True, by="ada", now=NOW)
    assert handling.mark([failed.pk, fine.pk], handled=True, by="bob", now=NOW) == 0
    failed.refresh_from_db()
    assert (failed.handled_by, actions()) == ("ada", ["execution.handled"])


def test_of_many_who_say_so_at_once_one_is_noted(failed: Execution) -> None:
    marks = [partial(handling.mark, [failed.pk], handled=True, by=f"{n}", now=NOW) for n in range(4)]
    assert sorted(at_once(marks)) == [0, 0, 0, 1]
    assert actions() == ["execution.handled"]
