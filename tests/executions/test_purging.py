"""Removing old rows keeps nobody waiting: small steps, found by an index, each whole or not at all."""

import contextlib
import sqlite3
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from cueapi.errors import NotFound
from cues import services
from cues.models import Cue, LedgerEntry
from executions import firing, purging
from executions.models import Alert, Attempt, Destination, Execution, Horizon, Kept, Notification, Step
from tests.support import aged, make
from tests.support.api import Api
from tests.support.held import held_elsewhere, needs_row_locks
from tests.support.make import NOW
from tests.support.old import DAY, alert, ended, entry, purge
from tests.support.together import at_once

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.fixture(autouse=True)
def _the_audit_trail_is_kept(settings: Any) -> None:
    """Its entries have tests of their own (tests/cueapi/test_trail.py)."""
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"retention_audit_days": 0})


@pytest.fixture
def cue(api: Api) -> Cue:
    return make.cue(api.account)


# --- In small steps ---------------------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, at_most in (("EXECUTIONS_MAX", 2), ("ROWS_MAX", 2), ("WALK_MAX", 1)):
        monkeypatch.setattr(purging, name, at_most)


def fill(of: Cue, count: int) -> None:
    for _ in range(count):
        alert(of, 90, execution=ended(of, 90))
        ended(of, 30)
    for number in range(count):
        entry(of, 400 + number)


def rows_there() -> int:
    kinds = (Execution, Attempt, Step, Notification, Alert, LedgerEntry)
    return sum(kind.objects.count() for kind in kinds)


def statements(captured: CaptureQueriesContext) -> list[str]:
    """Those that read or change rows."""
    verbs = ("SELECT", "INSERT", "UPDATE", "DELETE")
    return [query["sql"] for query in captured if query["sql"].startswith(verbs)]


def test_a_step_removes_a_bounded_number_of_rows_with_a_fixed_number_of_statements(cue: Cue, small: None) -> None:
    fill(cue, 7)
    rows, asked, seen = [rows_there()], [], [0]

    def look() -> bool:
        asked.append(len(statements(captured)) - seen[-1])
        rows.append(rows_there())
        seen.append(len(statements(captured)))
        return True

    with CaptureQueriesContext(connection) as captured:
        purge(go_on=look)
    most = 2 * (1 + 2 + 1 + 1)  # two executions, each with two attempts, a step and a mail
    assert max(before - after for before, after in pairwise(rows)) == most
    assert len(asked) > 10
    assert max(asked[1:]) <= 8  # the first step comes after the horizons


def test_large_steps_cost_no_more_statements_than_small_ones(cue: Cue) -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as captured:
            purge()
        return len(statements(captured))

    fill(cue, 2)
    few = cost()
    fill(cue, 20)
    assert cost() == few


def test_every_statement_of_a_run_finds_its_rows_by_an_index(cue: Cue, settings: Any) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"retention_audit_days": 365})
    make.recurring(cue.account, created_at=NOW - 900 * DAY)
    services.update(cue.account, Cue.objects.last().pk, {"schedule": {"cron": "1 * * * *"}}, now=NOW - 800 * DAY)
    fill(cue, 3)
    Destination.objects.create(account=cue.account, lane="https://old:443", looked_at=NOW - 91 * DAY)
    with CaptureQueriesContext(connection) as captured:
        assert purge()["destinations"] == 1
    run = [one for one in statements(captured) if "executions_horizon" not in one]
    plans = [(one, plan_of(one)) for one in run]
    assert [f"{one}\n{plan}" for one, plan in plans if is_whole_scan(plan)] == []
    told = str(plans)
    for index in (
        "execution_ended",
        "execution_ended_bodiless",
        "alert_age",
        "notification_of_worker_age",
        "audit_age",
    ):
        assert f"{index}" in told
    assert {one.split()[0] for one in run} == {"SELECT", "UPDATE", "DELETE"}


def plan_of(sql: str) -> str:
    """How the database would run it if its tables were large."""
    is_postgres = connection.vendor == "postgresql"
    with connection.cursor() as cursor:
        if is_postgres:
            cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"{'EXPLAIN' if is_postgres else 'EXPLAIN QUERY PLAN'} {sql}")
        return "\n".join(str(row) for row in cursor.fetchall())


def is_whole_scan(plan: str) -> bool:
    return "Seq Scan" in plan or ("SCAN " in plan and "VALUES" not in plan)


def every_time_no() -> bool:
    return False


def test_a_run_that_is_told_to_stop_is_gone_on_with_where_it_was(cue: Cue, small: None) -> None:
    cues = sorted([cue, *(make.cue(cue.account) for _ in range(4))], key=lambda one: one.pk)
    for one in cues:
        entry(one, 400)
    run = purging.purge(now=NOW, go_on=every_time_no)
    assert (run.is_done, run.positions["cue"]) == (False, cues[0].pk)
    entry(cues[0], 401)
    rest = purging.purge(now=NOW, positions=run.positions)
    assert (rest.is_done, rest.positions["cue"], rest.removed["ledger rows"]) == (True, None, 4)
    assert LedgerEntry.objects.get().cue == cues[0]
    assert purging.purge(now=NOW, positions=rest.positions).removed["ledger rows"] == 0
    assert purge() == {"ledger rows": 1}


def test_each_kind_has_its_turn_before_the_first_is_done(cue: Cue, small: None) -> None:
    fill(cue, 5)
    run = purging.purge(now=NOW, go_on=every_time_no)
    assert not run.is_done
    assert {name for name, count in run.removed.items() if count} == {
        "executions",
        "response bodies",
        "alerts",
        "ledger rows",
    }


def test_the_pace_rests_as_long_as_a_step_took_and_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    at, rests = [100.0], []

    def rest(seconds: float) -> None:
        rests.append(seconds)
        at[0] += seconds

    monkeypatch.setattr("time.monotonic", lambda: at[0])
    monkeypatch.setattr("time.sleep", rest)
    go_on = purging.Pace(2)
    answers = []
    for step_s in (0.25, 0.125, 30, 0):
        at[0] += step_s
        answers.append(go_on())
    assert (answers, rests) == ([True, True, False, False], [0.25, 0.125, 0.5, 0])
    assert purging.Pace()()


@pytest.mark.django_db(transaction=True)
def test_what_it_costs_is_measured(cue: Cue) -> None:
    aged.fill(20)
    cost = aged.purge(40)
    assert (cost.removed["response bodies"], Execution.objects.exclude(bodies_removed_at=None).count()) == (20, 20)
    assert len(cost.steps_ms) >= 5
    assert aged.purge(100).removed["executions"] == 20
    assert Attempt.objects.count() == Step.objects.count() == 0


# --- At the same time, and half-way -----------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_two_at_once_remove_each_row_once(cue: Cue, small: None) -> None:
    fill(cue, 10)
    runs = at_once([lambda: purging.purge(now=NOW)] * 3)
    total = sum((run.removed for run in runs), start=Counter())
    assert {name: count for name, count in total.items() if count} == {
        "executions": 10,
        "response bodies": 10,
        "alerts": 10,
        "ledger rows": 10,
    }
    assert rows_there() == 10 * 5


@pytest.mark.django_db(transaction=True)
def test_a_replay_at_the_same_time_comes_before_or_finds_nothing(cue: Cue) -> None:
    for _ in range(5):
        original = ended(cue, 90)
        replay, _ = at_once([lambda: firing.replay(original, now=NOW), lambda: purging.purge(now=NOW)])  # noqa: B023
        assert isinstance(replay, Execution | NotFound)
        purging.purge(now=NOW)
        assert not Execution.objects.filter(pk=original.pk).exists()
        if isinstance(replay, Execution):
            replay.refresh_from_db()
            assert replay.replayed_from is None


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("table", ["executions_attempt", "executions_step", "executions_execution"])
def test_a_run_that_dies_half_way_leaves_each_execution_whole(cue: Cue, table: str) -> None:
    old = ended(cue, 90)

    def die(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith("DELETE") and table in sql:
            raise KeyboardInterrupt
        return execute(sql, *rest)

    with connection.execute_wrapper(die), pytest.raises(KeyboardInterrupt):
        purging.purge(now=NOW)
    assert (old.attempt_log.count(), old.steps.count(), old.notifications.count()) == (2, 1, 1)
    assert Horizon.objects.filter(kind=Kept.EXECUTIONS).exists()
    assert purge()["executions"] == 1


@pytest.mark.django_db(transaction=True)
def test_what_is_no_lock_of_somebody_else_is_not_put_off(cue: Cue) -> None:
    ended(cue, 90)

    def lose_the_disk(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith("DELETE"):
            raise OperationalError("disk I/O error")
        return execute(sql, *rest)

    with connection.execute_wrapper(lose_the_disk), pytest.raises(OperationalError, match="disk I/O"):
        purging.purge(now=NOW)


@pytest.mark.django_db(transaction=True)
def test_a_step_that_did_not_get_sqlites_lock_is_left_for_the_next_time(cue: Cue, tmp_path: Path) -> None:
    ended(cue, 90)

    def come_second(execute: Any, sql: str, *rest: Any) -> Any:
        if not sql.startswith("DELETE"):
            return execute(sql, *rest)
        try:
            write_while_another_does(tmp_path / "db")
        except sqlite3.OperationalError as error:
            raise OperationalError(*error.args) from error

    with connection.execute_wrapper(come_second):
        assert purge() == {}
    assert purge()["executions"] == 1


def write_while_another_does(database: Path) -> None:
    with contextlib.closing(sqlite3.connect(database, timeout=0)) as first:
        first.execute("BEGIN IMMEDIATE")
        with contextlib.closing(sqlite3.connect(database, timeout=0)) as second:
            second.execute("BEGIN IMMEDIATE")


@needs_row_locks
@pytest.mark.django_db(transaction=True)
def test_an_execution_that_another_holds_is_left_for_the_next_time(cue: Cue) -> None:
    held, free = ended(cue, 90), ended(cue, 90)
    with held_elsewhere("executions_execution", "id", held.pk):
        assert purge() == {"executions": 1}
        assert not Execution.objects.filter(pk=free.pk).exists()
    assert purge() == {"executions": 1}


@needs_row_locks
@pytest.mark.django_db(transaction=True)
def test_a_step_gives_way_where_what_hangs_on_an_execution_is_held(cue: Cue) -> None:
    """Whoever deletes the cue has its attempts before its executions: waiting would be in a circle."""
    old = ended(cue, 90)
    entry(cue, 400)
    with held_elsewhere("executions_attempt", "execution_id", old.pk):
        assert purge() == {"ledger rows": 1}
        assert (old.attempt_log.count(), old.steps.count()) == (2, 1)
    assert purge() == {"executions": 1}
