"""The strip of a cue's last windows, held against all its windows counted one by one."""

import random
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from cueapi import clock
from cues.models import RUNS, Cue, LedgerEntry, Verdict
from executions import strip
from executions.links import Links
from executions.models import Execution
from executions.states import FINAL, OutcomeState, Status, Trigger
from tests.support.admin import recurring
from tests.support.api import Api

pytestmark = [pytest.mark.django_db, pytest.mark.database]

MINUTE = timedelta(minutes=1)
NOW = clock.now().replace(microsecond=0)
LINKS = Links(
    "/here", "/runs", "/failures", "/changes", lambda pk: f"/run/{pk}", lambda pk: f"/cue/{pk}", lambda action: None
)
LEFT = [verdict for verdict in Verdict if verdict not in RUNS]


@pytest.fixture
def cue(api: Api, resolver: dict[str, list[str]]) -> Cue:
    resolver["hooks.example.org"] = ["93.184.215.14"]
    callback = {"url": "https://hooks.example.org/digest"}
    return recurring(api, "strip", schedule={"type": "recurring", "cron": "0 0 1 1 *"}, callback=callback)


def entry(cue: Cue, at: datetime, verdict: Verdict, *, windows: int = 1, run: Execution | None = None) -> LedgerEntry:
    last_at = at + (windows - 1) * MINUTE if windows > 1 else None
    return LedgerEntry.objects.create(
        cue=cue, first_at=at, last_at=last_at, windows=windows, verdict=verdict, execution_id=run and run.pk
    )


def run_of(cue: Cue, at: datetime, status: Status = Status.SUCCESS, **fields: object) -> Execution:
    ended = status in FINAL
    columns = {
        "account_id": cue.account_id,
        "cue": cue,
        "transport": cue.transport,
        "triggered_by": Trigger.SCHEDULED,
        "scheduled_for": at,
        "status": status,
        "due_at": None if ended else at,
        "closed_at": at if ended else None,
        "created_at": at,
        "updated_at": at,
        **fields,
    }
    run: Execution = Execution.objects.create(**columns)
    return run


def drawn(seed: int, cue: Cue) -> list[tuple[str, datetime]]:
    """Random rows of the ledger; answers what became of each window, oldest first."""
    dice, at, windows = random.Random(seed), NOW - 5000 * MINUTE, []
    for _ in range(dice.choice([3, 60, 300])):
        at += MINUTE
        if dice.random() < 0.6:
            status = dice.choice([Status.SUCCESS, Status.FAILED, Status.PENDING])
            entry(cue, at, Verdict.RAN, run=run_of(cue, at, status))
            windows.append((status.replace("_", " "), at))
            continue
        verdict, count = dice.choice(LEFT), dice.choice([1, 1, 2, 70])
        entry(cue, at, verdict, windows=count)
        windows += [(strip.WORDS[verdict], at + step * MINUTE) for step in range(count)]
        at = windows[-1][1]
    return windows


@pytest.mark.parametrize("seed", range(6))
def test_the_strip_shows_the_last_two_hundred_windows_and_counts_the_rest(seed: int, cue: Cue) -> None:
    all_windows = drawn(seed, cue)
    found = strip.read(cue, LINKS, now=NOW)
    shown = [label for slot in found.slots for label in [slot.label] * slot.windows]
    assert shown == [label for label, _ in all_windows[-strip.WINDOWS_MAX :]]
    assert (found.before, found.has_more) == (max(0, len(all_windows) - strip.WINDOWS_MAX), False)
    assert sum(count.windows for count in found.legend) == found.windows == len(shown)


@pytest.mark.parametrize("seed", range(3))
def test_each_window_has_a_mark_of_its_own_inside_the_drawing(seed: int, cue: Cue) -> None:
    drawn(seed, cue)
    found = strip.read(cue, LINKS, now=NOW)
    marks = [mark for group in found.groups for mark in group.marks]
    assert len(marks) == len(set(marks)) == found.windows
    assert all(0 <= x <= found.width - strip.CELL and 0 <= y <= found.height - strip.CELL for x, y in marks)
    assert marks == sorted(marks, key=lambda mark: mark[::-1])


def test_an_outage_of_many_windows_is_one_link_with_as_many_marks(cue: Cue) -> None:
    entry(cue, NOW - 9000 * MINUTE, Verdict.MISSED, windows=5000)
    entry(cue, NOW - MINUTE, Verdict.RAN, run=run_of(cue, NOW - MINUTE))
    missed, ran = (found := strip.read(cue, LINKS, now=NOW)).groups
    assert (len(missed.marks), missed.slot.tone, len(ran.marks), ran.slot.tone) == (199, "bad", 1, "good")
    assert found.before == 5000 - 199
    assert "199 windows, missed" in missed.slot.title


def test_what_is_older_than_can_be_counted_is_told_as_more_than(cue: Cue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strip, "COUNTED_MAX", 2)
    for number in range(strip.WINDOWS_MAX + 3):
        entry(cue, NOW - number * MINUTE, Verdict.PAUSED)
    found = strip.read(cue, LINKS, now=NOW)
    assert (found.before, found.has_more) == (2, True)


def test_a_run_leads_to_its_execution_and_what_did_not_run_to_why(cue: Cue) -> None:
    entry(cue, NOW - 2 * MINUTE, Verdict.OVERLAP, run=run_of(cue, NOW - 9 * MINUTE, Status.PENDING))
    ran = run_of(cue, NOW - MINUTE)
    entry(cue, NOW - MINUTE, Verdict.RAN, run=ran)
    skipped, shown = strip.read(cue, LINKS, now=NOW).slots
    assert skipped.url == LINKS.why(NOW - 2 * MINUTE) and skipped.url.startswith("/here?at=")
    assert shown.url == f"/run/{ran.pk}"


def test_a_run_that_is_no_longer_stored_says_so(cue: Cue) -> None:
    LedgerEntry.objects.create(cue=cue, first_at=NOW - MINUTE, verdict=Verdict.RAN, execution_id=uuid4())
    (slot,) = strip.read(cue, LINKS, now=NOW).slots
    assert (slot.label, slot.tone, slot.execution_id) == ("ran, no longer stored", "idle", None)


def test_a_delivery_whose_work_failed_is_no_success(cue: Cue) -> None:
    failed = {"outcome_success": False, "outcome_state": OutcomeState.REPORTED_FAILURE}
    entry(cue, NOW - MINUTE, Verdict.CAUGHT_UP, run=run_of(cue, NOW - MINUTE, **failed))
    (slot,) = strip.read(cue, LINKS, now=NOW).slots
    assert (slot.label, slot.tone) == ("ran late, success, but its work failed", "bad")


def test_windows_that_a_pause_lets_pass_are_shown_before_they_are_settled(api: Api, cue: Cue) -> None:
    assert api.patch(f"/v1/cues/{cue.pk}", {"schedule": {"type": "recurring", "cron": "* * * * *"}}).status_code == 200
    assert api.post(f"/v1/cues/{cue.pk}/pause").status_code == 200
    cue.refresh_from_db()
    later = clock.now() + timedelta(minutes=10)
    slot = strip.read(cue, LINKS, now=later).slots[-1]
    assert slot.label == "passed while paused"
    assert slot.windows in (9, 10, 11)


def test_a_cue_without_windows_has_no_strip(cue: Cue) -> None:
    assert strip.read(cue, LINKS, now=NOW).slots == ()


def test_the_strip_costs_the_same_queries_however_long_the_ledger_is(cue: Cue) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            strip.read(cue, LINKS, now=NOW)
        return len(captured)

    entry(cue, NOW, Verdict.RAN, run=run_of(cue, NOW))
    few = queries()
    for number in range(1, 400):
        entry(cue, NOW - number * MINUTE, Verdict.PAUSED)
    assert queries() == few <= 5
