"""What ended is added to its hour: each execution once, whoever counts, whenever, and however it is interrupted."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from cues.models import Cue
from executions import overview, rollup
from executions.models import CountedUntil, Execution, HourFigures
from tests.support import make
from tests.support.together import at_once

pytestmark = [pytest.mark.django_db, pytest.mark.database]

NOW = datetime(2031, 5, 4, 12, 30, tzinfo=UTC)
STATUSES = ("success", "failed", "missed", "outcome_timeout")


@pytest.fixture
def cue(db: None) -> Cue:
    return make.cue(make.account(), next_run=None)


def ended(cue: Cue, at: datetime, status: str = "success", late_s: float = 0.2, took_s: float = 0.02) -> Execution:
    started = at - timedelta(seconds=took_s)
    return make.execution(
        cue,
        status=status,
        due_at=None,
        closed_at=at,
        scheduled_for=started - timedelta(seconds=late_s),
        started_at=started,
        last_attempt_at=started,
        delivered_at=at if status == "success" else None,
    )


def count_all(now: datetime = NOW) -> None:
    while rollup.count(now=now):
        pass


def counted(account: object = None) -> Counter[tuple[datetime, str]]:
    rows = HourFigures.objects.filter(account=account)
    return Counter({(row.hour, name): getattr(row, name) for row in rows for name in STATUSES})


def expected(until: datetime, account: object = None) -> Counter[tuple[datetime, str]]:
    runs = Execution.objects.filter(closed_at__lt=until)
    runs = runs.filter(account=account) if account else runs
    return Counter((run.closed_at.replace(minute=0, second=0, microsecond=0), run.status) for run in runs)


def test_counts_are_those_of_brute_force_for_each_account_and_for_all(
    cue: Cue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollup, "ROWS_MAX", 7)
    other, rng = make.cue(make.account("b@example.org"), next_run=None), random.Random(7)
    for _ in range(60):
        at = NOW - timedelta(seconds=rng.choice([rng.uniform(0, 20_000), 3600, 3600.5]))
        ended(rng.choice([cue, other]), at, rng.choice(STATUSES))
    Execution.objects.filter(pk__in=list(Execution.objects.values_list("pk", flat=True)[:9])).update(
        bodies_removed_at=NOW
    )
    count_all()
    until = NOW - rollup.SETTLED_AFTER
    assert +counted() == expected(until)
    for account in (cue.account, other.account):
        assert +counted(account) == expected(until, account)


def test_more_of_one_instant_than_are_counted_at_a_time_are_counted_together(
    cue: Cue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollup, "ROWS_MAX", 3)
    for _ in range(8):
        ended(cue, NOW - timedelta(minutes=5))
    count_all()
    assert counted()[NOW.replace(minute=0), "success"] == 8


def test_what_ends_later_is_added_and_nothing_is_counted_twice(cue: Cue) -> None:
    ended(cue, NOW - timedelta(minutes=5))
    ended(cue, NOW - timedelta(seconds=30))
    count_all()
    count_all()
    assert sum(counted().values()) == 1  # the last minute is not settled
    count_all(NOW + timedelta(minutes=2))
    assert sum(counted().values()) == 2


@pytest.mark.django_db(transaction=True)
def test_of_several_who_count_at_once_each_end_is_counted_by_one(cue: Cue) -> None:
    for minutes in range(2, 30):
        ended(cue, NOW - timedelta(minutes=minutes))
    at_once([partial(count_all) for _ in range(4)])
    count_all()
    assert sum(counted().values()) == 28
    assert HourFigures.objects.filter(account=None).count() == len({hour for hour, _ in counted()})


def test_one_who_stops_half_way_leaves_no_trace(cue: Cue, monkeypatch: pytest.MonkeyPatch) -> None:
    ended(cue, NOW - timedelta(minutes=5))
    rollup.count(now=NOW - timedelta(hours=5))
    before = CountedUntil.objects.get().at
    with monkeypatch.context() as patch:
        patch.setattr(CountedUntil, "save", _crash)
        with pytest.raises(RuntimeError):
            count_all()
    assert (CountedUntil.objects.get().at, HourFigures.objects.count()) == (before, 0)
    count_all()
    assert sum(counted().values()) == 1


def _crash(*args: object, **kwargs: object) -> None:
    raise RuntimeError("the machine is gone")


def test_a_server_that_counts_for_the_first_time_looks_back_a_day(cue: Cue) -> None:
    ended(cue, NOW - timedelta(hours=23))
    ended(cue, NOW - timedelta(hours=25))
    count_all()
    assert sum(counted().values()) == 1


def test_old_hours_are_forgotten(cue: Cue) -> None:
    ended(cue, NOW - timedelta(hours=1))
    count_all()
    assert rollup.forget(now=NOW) == 0
    assert rollup.forget(now=NOW + timedelta(days=91)) == 2
    assert not HourFigures.objects.exists()


# --- Read -------------------------------------------------------------------------------------------------------


def test_the_overview_tells_shares_and_spreads(cue: Cue) -> None:
    for number in range(20):
        ended(cue, NOW - timedelta(minutes=5), "failed" if number == 0 else "success", late_s=0.03 if number else 90)
    count_all()
    seen = overview.read(cue.account, now=NOW)
    assert (seen.ended, seen.success_percent) == (20, 95.0)
    assert (seen.lateness.p50_s, seen.lateness.p95_s) == (0.05, 0.05)
    assert seen.latency.p50_s in (0.025, 0.01)
    assert [bar.total for bar in seen.bars][-1] == 20
    assert len(seen.bars) == 24 and seen.bars[-1].start == NOW.replace(minute=0)
    week = overview.read(None, now=NOW, over=overview.RANGES["7d"])
    assert (len(week.bars), week.ended) == (28, 20)


def test_nothing_of_one_account_is_in_the_overview_of_another(cue: Cue) -> None:
    ended(cue, NOW - timedelta(minutes=5))
    make.execution(cue, due_at=NOW - timedelta(hours=1))
    count_all()
    other = overview.read(make.account("b@example.org"), now=NOW)
    assert (other.ended, other.waiting, other.success_percent) == (0, 0, None)
    assert overview.read(None, now=NOW).waiting == 1


def test_the_overview_says_in_words_what_is_not_well(cue: Cue) -> None:
    assert overview.read(cue.account, now=NOW).troubles == []
    make.execution(cue, due_at=NOW - timedelta(minutes=1))
    assert overview.read(cue.account, now=NOW).troubles == [
        "1 execution is waiting for longer than 10 seconds to be sent"
    ]
