"""How many executions of each cue failed in a row."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from cueapi import clock
from cues.models import Cue
from executions import streaks
from executions.states import OutcomeState, Status
from tests.executions.test_strip import run_of
from tests.support.admin import recurring
from tests.support.api import Api

pytestmark = [pytest.mark.django_db, pytest.mark.database]

NOW = clock.now()
MINUTE = timedelta(minutes=1)


@pytest.fixture
def hooks(resolver: dict[str, list[str]]) -> dict[str, str]:
    resolver["hooks.example.org"] = ["93.184.215.14"]
    return {"url": "https://hooks.example.org/digest"}


@pytest.fixture
def cue(api: Api, hooks: dict[str, str]) -> Cue:
    return recurring(api, "one", callback=hooks)


def ended(cue: Cue, *statuses: Status) -> None:
    """Executions of the cue, oldest first."""
    for number, status in enumerate(statuses):
        run_of(cue, NOW - (len(statuses) - number) * MINUTE, status)


@pytest.mark.parametrize(
    ("statuses", "failures"),
    [
        ([Status.SUCCESS], 0),
        ([Status.FAILED, Status.SUCCESS], 0),
        ([Status.SUCCESS, Status.FAILED, Status.MISSED], 2),
        ([Status.OUTCOME_TIMEOUT, Status.RETRYING], 1),
        ([Status.PENDING], 0),
    ],
)
def test_failures_since_the_last_success_count(cue: Cue, statuses: list[Status], failures: int) -> None:
    ended(cue, *statuses)
    lately = streaks.lately([cue.pk])[cue.pk]
    assert (lately.failures, lately.newest and lately.newest.status) == (failures, statuses[-1])


def test_work_that_was_reported_as_failed_counts_as_a_failure(cue: Cue) -> None:
    run_of(cue, NOW, outcome_success=False, outcome_state=OutcomeState.REPORTED_FAILURE)
    assert streaks.lately([cue.pk])[cue.pk].failures == 1


def test_a_long_streak_is_told_as_so_many_or_more(cue: Cue) -> None:
    ended(cue, *[Status.FAILED] * (streaks.LOOKED_AT + 5))
    assert streaks.lately([cue.pk])[cue.pk].in_words == f"{streaks.LOOKED_AT} or more"


def test_a_cue_without_executions_is_left_out(cue: Cue) -> None:
    assert streaks.lately([cue.pk]) == {} == streaks.lately([])


def test_many_cues_cost_one_query_and_are_told_apart(api: Api, hooks: dict[str, str], cue: Cue) -> None:
    cues = [cue, *(recurring(api, f"another {number}", callback=hooks) for number in range(4))]
    for number, one in enumerate(cues):
        ended(one, *[Status.FAILED] * number, *([] if number else [Status.SUCCESS]))
    with CaptureQueriesContext(connection) as queries:
        found = streaks.lately([one.pk for one in cues])
    assert [found[one.pk].failures for one in cues] == [0, 1, 2, 3, 4]
    assert len(queries) == 1
