"""An account's cues in lines, and paging through them."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from cueapi import clock
from cues.models import Cue, LedgerEntry, Verdict
from executions import roster
from executions.roster import Line
from executions.states import Status
from tests.executions.test_strip import run_of
from tests.support import make
from tests.support.admin import recurring
from tests.support.api import Api

pytestmark = [pytest.mark.django_db, pytest.mark.database]

MINUTE = timedelta(minutes=1)


@pytest.fixture
def hooks(resolver: dict[str, list[str]]) -> dict[str, str]:
    resolver["hooks.example.org"] = ["93.184.215.14"]
    return {"url": "https://hooks.example.org/digest"}


@pytest.fixture
def cue(api: Api, hooks: dict[str, str]) -> Cue:
    return recurring(api, "first", callback=hooks)


def shown(cue: Cue) -> list[Line]:
    return roster.lines(roster.rows(cue.account).order_by("-created_at"))


def test_other_accounts_cues_are_never_there(cue: Cue, stranger: Api, hooks: dict[str, str]) -> None:
    recurring(stranger, "of somebody else", callback=hooks)
    assert [line.name for line in shown(cue)] == ["first"]


def test_a_line_tells_the_newest_execution_or_the_newer_window_that_made_none(cue: Cue) -> None:
    now = clock.now()

    def last() -> tuple[str, bool]:
        (line,) = shown(cue)
        return line.last, line.last_execution is not None

    assert last() == ("", False)
    run = run_of(cue, now - 3 * MINUTE, Status.FAILED)
    LedgerEntry.objects.create(cue=cue, first_at=now - 3 * MINUTE, verdict=Verdict.RAN, execution_id=run.pk)
    assert last() == ("failed", True)
    LedgerEntry.objects.create(cue=cue, first_at=now - 2 * MINUTE, verdict=Verdict.MISSED)
    assert last() == ("missed", False)
    run_of(cue, now - MINUTE)
    assert last() == ("success", True)


def test_the_list_costs_the_same_queries_however_many_cues_there_are(cue: Cue) -> None:
    assert cue.account

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            shown(cue)
        return len(captured)

    few = queries()
    for number in range(40):
        run_of(make.recurring(cue.account, name=f"another {number}"), clock.now(), Status.FAILED)
    assert queries() == few == 2
