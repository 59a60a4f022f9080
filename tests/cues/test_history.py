"""A cue's past: its definitions, and the verdicts on windows that a change leaves behind."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from cues import lifecycle, services
from cues.models import Cue, Definition, LedgerEntry
from tests.support import make
from tests.support.make import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.database]

MINUTE = timedelta(minutes=1)
TICK = timedelta(microseconds=1)


def past(cue: Cue) -> list[tuple[datetime, str]]:
    return list(Definition.objects.filter(cue=cue).order_by("since").values_list("since", "status"))


def ledger() -> list[tuple[Any, ...]]:
    rows = LedgerEntry.objects.order_by("first_at")
    return [(row.first_at, row.until, row.windows, row.verdict) for row in rows]


def change(cue: Cue, now: datetime, **data: Any) -> Cue:
    return services.update(cue.account, cue.pk, data, now=now)


def test_a_new_cue_has_one_definition_that_says_what_it_says() -> None:
    owner = make.account()
    data = {"name": "a", "transport": "worker", "schedule": {"cron": "0 9 * * *", "jitter_seconds": 30}}
    cue = services.create(owner, data, now=NOW).cue
    definition = Definition.objects.get()
    assert (definition.cue_id, definition.since) == (cue.pk, NOW)
    assert definition.facts == cue.facts
    assert definition.timetable == cue.timetable


def test_a_change_of_the_schedule_adds_a_definition_and_any_other_change_none() -> None:
    cue = make.recurring(make.account(), next_run=NOW + MINUTE)
    change(cue, NOW + TICK, name="other", payload={"a": 1})
    change(cue, NOW + TICK, schedule={"type": "recurring", "cron": "*/5 * * * *"})
    assert len(past(cue)) == 1
    change(cue, NOW + MINUTE, schedule={"cron": "0 * * * *"})
    assert [since for since, _ in past(cue)] == [NOW, NOW + MINUTE]


def test_two_changes_in_one_instant_are_two_definitions_in_order() -> None:
    cue = make.recurring(make.account(), next_run=NOW + 5 * MINUTE)
    change(cue, NOW, schedule={"cron": "0 * * * *"})
    change(cue, NOW, schedule={"cron": "1 * * * *"})
    assert [since for since, _ in past(cue)] == [NOW, NOW + TICK, NOW + 2 * TICK]
    assert Definition.objects.latest("since").cron == "1 * * * *"


def test_a_pause_and_a_resume_tell_what_passed_in_between_in_one_row() -> None:
    cue = make.recurring(make.account(), next_run=NOW + 5 * MINUTE)
    lifecycle.pause([cue], now=NOW + MINUTE)
    assert ledger() == []
    cue.refresh_from_db()
    lifecycle.resume(cue, now=NOW + 21 * MINUTE)
    assert [status for _, status in past(cue)] == ["active", "paused", "active"]
    assert ledger() == [(NOW + 5 * MINUTE, NOW + 20 * MINUTE, 4, "skipped_paused")]
    assert Cue.objects.get().next_run == NOW + 25 * MINUTE


def test_a_pause_in_which_nothing_was_due_leaves_no_row() -> None:
    cue = make.recurring(make.account(), next_run=NOW + 5 * MINUTE)
    change(cue, NOW + MINUTE, status="paused")
    change(cue, NOW + 2 * MINUTE, status="active")
    assert ledger() == []


def test_a_window_that_is_due_when_the_cue_is_paused_is_told_as_paused() -> None:
    cue = make.recurring(make.account())
    lifecycle.pause([cue], now=NOW + MINUTE)
    assert ledger() == [(NOW, NOW, 1, "skipped_paused")]


def test_a_window_that_is_due_when_the_schedule_changes_is_told_as_changed() -> None:
    cue = make.recurring(make.account())
    change(cue, NOW + 11 * MINUTE, schedule={"cron": "0 * * * *"})
    assert ledger() == [(NOW, NOW + 10 * MINUTE, 3, "skipped_changed")]


def test_a_window_that_is_due_outlives_a_change_that_leaves_the_times_alone() -> None:
    cue = make.recurring(make.account())
    changed = change(cue, NOW + MINUTE, schedule={"cron": "*/5 * * * *", "overlap": "skip"}, catch_up="skip_missed")
    assert (changed.next_run, changed.overlap) == (NOW, "skip")
    assert ledger() == []
    assert len(past(cue)) == 2


@pytest.mark.parametrize(
    "part",
    [
        {"timezone": "Asia/Kathmandu"},
        {"dst": "skip"},
        {"jitter_seconds": 60},
        {"starts_at": "2031-05-05T00:00:00Z"},
    ],
)
def test_every_part_of_a_schedule_that_is_changed_alone_sets_the_next_run_anew(part: dict[str, Any]) -> None:
    cue = make.recurring(make.account(), "30 9 * * *", next_run=NOW + 30 * MINUTE)
    changed = change(cue, NOW, schedule=part)
    assert changed.next_run == changed.timetable.next(NOW)


def test_a_cue_that_can_no_longer_be_read_can_be_mended() -> None:
    cue = make.recurring(make.account(), timezone="UTC")
    Cue.objects.update(timezone="Mars/Olympus")
    Definition.objects.update(timezone="Mars/Olympus")
    changed = change(cue, NOW + MINUTE, schedule={"timezone": "UTC", "cron": "0 * * * *"})
    assert changed.next_run == NOW + 60 * MINUTE


def test_a_change_while_paused_tells_the_windows_of_each_schedule() -> None:
    cue = make.recurring(make.account(), next_run=NOW + 5 * MINUTE)
    change(cue, NOW, status="paused")
    change(cue, NOW + 6 * MINUTE, schedule={"cron": "0 * * * *"})
    change(cue, NOW + 90 * MINUTE, status="active")
    assert ledger() == [
        (NOW + 5 * MINUTE, NOW + 5 * MINUTE, 1, "skipped_paused"),
        (NOW + 60 * MINUTE, NOW + 60 * MINUTE, 1, "skipped_paused"),
    ]


def test_a_one_shot_paused_past_its_time_is_told_and_has_a_new_one() -> None:
    cue = make.cue(make.account(), at=NOW + MINUTE, next_run=NOW + MINUTE)
    change(cue, NOW, status="paused")
    change(cue, NOW + 5 * MINUTE, status="active")
    assert ledger() == [(NOW + MINUTE, NOW + MINUTE, 1, "skipped_paused")]
    assert Definition.objects.latest("since").at == NOW + 5 * MINUTE


def test_a_clock_that_is_behind_does_not_put_a_definition_before_what_was_done() -> None:
    cue = make.recurring(make.account(), next_run=NOW + 10 * MINUTE, last_slot=NOW + 5 * MINUTE)
    changed = change(cue, NOW + 4 * MINUTE, schedule={"cron": "* * * * *"})
    assert past(cue)[-1][0] == NOW + 5 * MINUTE
    assert changed.next_run == NOW + 6 * MINUTE


def test_a_cue_without_a_history_begins_one_at_its_first_change() -> None:
    cue = make.recurring(make.account(), next_run=NOW + 5 * MINUTE)
    Definition.objects.all().delete()
    lifecycle.pause([cue], now=NOW)
    assert past(cue) == [(NOW, "paused")]


def test_the_history_goes_with_the_cue() -> None:
    cue = make.recurring(make.account())
    lifecycle.pause([cue], now=NOW + MINUTE)
    services.delete(cue, now=NOW)
    assert (Definition.objects.count(), LedgerEntry.objects.count()) == (0, 0)
