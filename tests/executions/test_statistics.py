"""How a cue did lately: counted over a week, judged by what ended."""

from datetime import timedelta

import pytest

from executions import statistics
from executions.statistics import CueStats
from tests.support import make
from tests.support.api import Api
from tests.support.make import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def test_the_rates_are_shares_of_what_ended_within_the_week() -> None:
    cue = make.recurring(make.account())
    for columns in (
        {"status": "success"},
        {"status": "success", "outcome_success": True},
        {"status": "success", "outcome_success": False},
        {"status": "missed"},
        {"status": "pending"},
        {"status": "failed", "created_at": NOW - timedelta(days=7)},
    ):
        make.execution(cue, **columns)
    make.execution(make.recurring(cue.account), status="missed")
    assert statistics.of_cue(cue, now=NOW) == CueStats(executions=5, success_rate=0.5, miss_rate=0.25)


def test_where_nothing_ended_there_is_no_rate(api: Api) -> None:
    cue = make.recurring(api.account)
    stats = api.get(f"/v1/cues/{cue.pk}").json()["stats"]
    assert stats == {"window_days": 7, "executions": 0, "success_rate": None, "miss_rate": None}
