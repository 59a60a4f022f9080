"""The verdict on each window of a cue that came due: run, held, caught up, left, and why."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from cues.models import Cue, LedgerEntry
from executions import firing
from executions.models import Execution
from executions.states import Status
from tests.support import make
from tests.support.make import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.database]

MINUTE = timedelta(minutes=1)


def fire(cue: Cue, now: datetime = NOW) -> int:
    return firing.fire_due([cue.pk], now=now)


def told() -> list[tuple[int, int, str]]:
    """First window, windows, verdict; in minutes since NOW."""
    rows = LedgerEntry.objects.order_by("first_at")
    return [((row.first_at - NOW) // MINUTE, row.windows, row.verdict) for row in rows]


def test_a_window_that_ran_names_its_execution() -> None:
    fire(make.recurring(make.account()))
    entry, execution = LedgerEntry.objects.get(), Execution.objects.get()
    assert (entry.first_at, entry.until, entry.windows) == (NOW, NOW, 1)
    assert (entry.verdict, entry.execution_id) == ("ran", execution.pk)


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [
        ("skip_missed", [(0, 6, "missed"), (30, 1, "ran")]),
        ("run_once_if_missed", [(0, 5, "missed"), (25, 1, "caught_up"), (30, 1, "ran")]),
        ("replay_all_missed", [*((n * 5, 1, "caught_up") for n in range(6)), (30, 1, "ran")]),
    ],
)
def test_after_an_outage_each_window_is_told_by_the_cues_rule(catch_up: str, expected: list) -> None:
    fire(make.recurring(make.account(), catch_up=catch_up), NOW + 30 * MINUTE)
    assert told() == expected


def test_of_more_than_a_hundred_missed_windows_the_older_are_one_row() -> None:
    fire(make.recurring(make.account(), "* * * * *", catch_up="replay_all_missed"), NOW + 5 * 60 * MINUTE)
    rows = told()
    assert rows[0] == (0, 199, "missed")
    assert [verdict for _, _, verdict in rows[1:]] == ["caught_up"] * 100 + ["ran"] * 2


def test_a_missed_one_shot_is_told_and_fails() -> None:
    cue = make.cue(make.account(), catch_up="skip_missed")
    assert fire(cue, NOW + 5 * MINUTE) == 0
    assert told() == [(0, 1, "missed")]
    assert Cue.objects.get().status == "failed"


def test_max_runs_ends_the_cue_with_its_last_run() -> None:
    cue = make.recurring(make.account(), max_runs=2, catch_up="replay_all_missed")
    assert fire(cue) == 1
    assert Cue.objects.get().next_run == NOW + 5 * MINUTE
    assert fire(cue, NOW + 16 * MINUTE) == 1
    assert told() == [(0, 1, "ran"), (5, 1, "caught_up"), (10, 1, "skipped_limit"), (15, 1, "skipped_limit")]
    cue.refresh_from_db()
    assert (cue.status, cue.next_run, cue.fired_count) == ("completed", None, 2)
    assert [definition.status for definition in cue.definitions.order_by("since")] == ["active", "completed"]


def test_the_last_window_before_ends_at_completes_the_cue() -> None:
    cue = make.recurring(make.account(), ends_at=NOW + 5 * MINUTE)
    fire(cue)
    assert Cue.objects.get().status == "active"
    fire(cue, NOW + 5 * MINUTE)
    assert Cue.objects.get().status == "completed"
    assert told() == [(0, 1, "ran"), (5, 1, "ran")]


# --- Overlap ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [Status.PENDING, Status.DELIVERING, Status.PENDING_OUTCOME, Status.RETRYING])
def test_skip_leaves_a_window_while_an_execution_has_not_ended(status: Status) -> None:
    cue = make.recurring(make.account(), overlap="skip")
    before = make.execution(cue, status=status, scheduled_for=NOW - MINUTE)
    assert fire(cue) == 0
    entry = LedgerEntry.objects.get()
    assert (entry.verdict, entry.execution_id) == ("skipped_overlap", before.pk)
    cue.refresh_from_db()
    assert (cue.next_run, cue.fired_count) == (NOW + 5 * MINUTE, 0)


@pytest.mark.parametrize(
    "columns",
    [
        {"status": Status.SUCCESS},
        {"status": Status.FAILED},
        {"scheduled_for": NOW + timedelta(hours=1), "due_at": NOW + timedelta(hours=1)},  # fired for later
    ],
)
@pytest.mark.parametrize("overlap", ["skip", "queue"])
def test_what_has_ended_or_is_still_to_come_is_not_in_the_way(columns: dict[str, Any], overlap: str) -> None:
    cue = make.recurring(make.account(), overlap=overlap)
    make.execution(cue, **columns)
    assert fire(cue) == 1
    assert told() == [(0, 1, "ran")]


def test_another_cues_execution_is_not_in_the_way() -> None:
    owner = make.account()
    make.execution(make.recurring(owner, overlap="skip"))
    assert fire(make.recurring(owner, overlap="skip")) == 1


def test_windows_that_are_due_together_are_in_each_others_way() -> None:
    rows = {}
    for overlap in ("skip", "queue", "allow"):
        cue = make.recurring(make.account(f"{overlap}@example.org"), overlap=overlap, catch_up="replay_all_missed")
        fire(cue, NOW + 11 * MINUTE)
        rows[overlap] = list(cue.ledger.order_by("first_at").values_list("verdict", flat=True))
    assert rows == {
        "skip": ["caught_up", "skipped_overlap", "skipped_overlap"],
        "queue": ["caught_up", "queued", "queued"],
        "allow": ["caught_up", "caught_up", "ran"],
    }


def test_allow_runs_beside_what_has_not_ended() -> None:
    cue = make.recurring(make.account())
    make.execution(cue)
    assert fire(cue) == 1


def test_a_herd_of_cues_costs_the_same_number_of_statements_as_one(django_assert_max_num_queries) -> None:
    owner = make.account()
    herd = [make.recurring(owner).pk for _ in range(60)]
    with django_assert_max_num_queries(12):
        assert firing.fire_due(herd, now=NOW) == 60
