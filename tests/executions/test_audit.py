"""The auditor: quiet when all adds up, and loud for each way in which it may not."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db.models import F

from cueapi import clock
from cues import lifecycle, services
from cues.models import Cue, LedgerEntry
from executions import audit, firing, purging, recovery
from executions.models import Alert, Execution
from tests.support import make, simulation
from tests.support.make import NOW
from tests.support.old import keep

pytestmark = [pytest.mark.django_db, pytest.mark.database]

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
SINCE, LATER = NOW - HOUR, NOW + HOUR


@pytest.fixture
def cue() -> Cue:
    """A cue that ran at NOW, 5, 10, … 55 minutes after it."""
    made = make.recurring(make.account(), created_at=NOW - MINUTE)
    for window in range(12):
        firing.fire_due([made.pk], now=NOW + window * 5 * MINUTE)
    return made


def report(*cues: Cue, now: Any = LATER - MINUTE) -> audit.Report:
    return audit.audit(cues or list(Cue.objects.order_by("pk")), since=SINCE, until=LATER, now=now)


def found(*cues: Cue) -> list[tuple[str, Any]]:
    return [(finding.kind, finding.at) for finding in report(*cues).findings]


def test_a_cue_that_ran_as_it_should_adds_up(cue: Cue) -> None:
    assert (found(), report().windows, report().cues) == ([], 12, 1)


def test_a_window_without_a_verdict_is_missing(cue: Cue) -> None:
    LedgerEntry.objects.filter(first_at=NOW + 10 * MINUTE).delete()
    Execution.objects.filter(scheduled_for=NOW + 10 * MINUTE).delete()
    assert found() == [("missing", NOW + 10 * MINUTE)]


def test_a_window_that_nobody_looks_at_is_missing_after_a_while(cue: Cue) -> None:
    assert report(now=LATER + 4 * MINUTE).findings == []
    later = audit.audit([cue], since=SINCE, until=LATER, now=LATER + 6 * MINUTE)
    assert [(finding.kind, finding.at) for finding in later.findings] == [("missing", LATER)]


def test_a_window_with_two_verdicts_is_double(cue: Cue) -> None:
    LedgerEntry.objects.create(
        cue=cue, first_at=NOW - MINUTE, last_at=NOW + 5 * MINUTE, windows=2, verdict="skipped_paused"
    )
    kinds = found()
    assert [at for kind, at in kinds if kind == "double"] == [NOW, NOW + 5 * MINUTE]


def test_a_verdict_where_no_window_was_is_unexplained(cue: Cue) -> None:
    LedgerEntry.objects.create(cue=cue, first_at=NOW + 7 * MINUTE, verdict="missed")
    assert found() == [("unexplained", NOW + 7 * MINUTE)]


def test_a_row_that_tells_of_more_windows_than_there_were_is_unexplained(cue: Cue) -> None:
    LedgerEntry.objects.filter(first_at__in=[NOW + 10 * MINUTE, NOW + 15 * MINUTE]).delete()
    Execution.objects.filter(scheduled_for__in=[NOW + 10 * MINUTE, NOW + 15 * MINUTE]).delete()
    wrong = {"first_at": NOW + 10 * MINUTE, "last_at": NOW + 15 * MINUTE, "verdict": "missed"}
    LedgerEntry.objects.create(cue=cue, windows=3, **wrong)
    assert found() == [("unexplained", NOW + 10 * MINUTE)]
    LedgerEntry.objects.filter(verdict="missed").update(windows=2)
    assert found() == []


def test_a_run_whose_execution_is_gone_or_another_one_is_unexplained(cue: Cue) -> None:
    LedgerEntry.objects.filter(first_at=NOW).update(execution_id=uuid4())
    Execution.objects.filter(scheduled_for=NOW + 5 * MINUTE).delete()
    assert found() == [("unexplained", NOW), ("unexplained", NOW + 5 * MINUTE)]


def test_an_execution_by_the_schedule_without_a_verdict_is_unexplained(cue: Cue) -> None:
    LedgerEntry.objects.filter(first_at=NOW).update(verdict="missed", execution_id=None)
    assert found() == [("unexplained", NOW)]


def test_an_execution_by_hand_is_nobodys_business(cue: Cue) -> None:
    make.execution(cue, scheduled_for=NOW + 7 * MINUTE)
    assert found() == []


def test_pauses_changes_and_outages_add_up(cue: Cue) -> None:
    others = [make.recurring(cue.account, created_at=NOW - MINUTE) for _ in range(3)]
    lifecycle.pause([others[0]], now=NOW + 3 * MINUTE)
    lifecycle.resume(others[0], now=NOW + 33 * MINUTE)
    services.update(others[1].account, others[1].pk, {"schedule": {"cron": "7 * * * *"}}, now=NOW + 3 * MINUTE)
    for other in others:
        firing.fire_due([other.pk], now=NOW + 55 * MINUTE)
    assert found() == []
    assert report(others[0]).windows == 12


def test_the_row_of_a_long_span_counts_where_only_its_end_is_looked_at() -> None:
    cue = make.recurring(make.account(), catch_up="skip_missed", created_at=NOW - MINUTE)
    firing.fire_due([cue.pk], now=NOW + 10 * HOUR)
    part = audit.audit([cue], since=NOW + 5 * HOUR, until=NOW + 6 * HOUR, now=NOW + 10 * HOUR)
    assert (part.windows, part.findings) == (13, [])


def test_a_pause_that_goes_on_beyond_the_period_adds_up() -> None:
    cue = make.recurring(make.account(), created_at=NOW - MINUTE)
    lifecycle.pause([cue], now=NOW - MINUTE)
    cue.refresh_from_db()
    lifecycle.resume(cue, now=NOW + 3 * HOUR)
    for since, windows in ((NOW - HOUR, 13), (NOW + HOUR, 13), (NOW + 2 * HOUR, 12)):
        part = audit.audit([cue], since=since, until=since + HOUR * (2 if since < NOW else 1), now=NOW + 3 * HOUR)
        assert part.findings == []
        assert part.windows >= windows


@pytest.mark.parametrize("columns", [{}, {"catch_up": "skip_missed"}])
def test_a_one_shot_adds_up_by_itself(columns: dict[str, Any]) -> None:
    cue = make.cue(make.account(), created_at=NOW - MINUTE, **columns)
    firing.fire_due([cue.pk], now=NOW + 2 * MINUTE)
    assert (found(), report().windows) == ([], 1)
    LedgerEntry.objects.all().delete()
    Execution.objects.all().delete()
    assert found() == [("missing", NOW)]


def test_a_cue_that_cannot_be_read_does_not_hide_the_others(cue: Cue) -> None:
    broken = make.recurring(cue.account, created_at=NOW - MINUTE)
    broken.definitions.update(timezone="Mars/Olympus")
    LedgerEntry.objects.filter(first_at=NOW).delete()
    assert {(finding.cue_id, finding.kind) for finding in report().findings} == {
        (broken.pk, "unexplained"),
        (cue.pk, "missing"),
        (cue.pk, "unexplained"),
    }


def test_many_cues_cost_no_more_statements_than_one(cue: Cue, django_assert_num_queries) -> None:
    for _ in range(20):
        firing.fire_due([make.recurring(cue.account, created_at=NOW - MINUTE).pk], now=NOW + 55 * MINUTE)
    cues = list(Cue.objects.all())
    with django_assert_num_queries(4):
        report(*cues)


# --- Who asks ---------------------------------------------------------------------------------------------------


def test_the_night_raises_an_alert_for_a_cue_that_does_not_add_up(cue: Cue) -> None:
    good = make.recurring(cue.account, next_run=NOW + 10 * HOUR, created_at=LATER - 2 * MINUTE)
    LedgerEntry.objects.filter(first_at=NOW).delete()
    assert recovery.audit_windows(after="", now=LATER - MINUTE) is None
    alert = Alert.objects.get()
    assert (alert.alert_type, alert.cue_id) == ("slot_audit", cue.pk)
    assert alert.metadata["missing"] == 1
    assert str(NOW.year) in alert.metadata["examples"][0]
    assert good.pk not in str(alert.metadata)


def test_the_night_goes_on_where_a_message_ended(cue: Cue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "AUDITED_CUES_MAX", 2)
    ids = sorted([cue.pk, *(make.recurring(cue.account, next_run=LATER).pk for _ in range(2))])
    assert recovery.audit_windows(after="", now=NOW) == ids[1]
    assert recovery.audit_windows(after=ids[1], now=NOW) is None


def test_the_command_says_in_words_and_by_its_status_what_it_found(capsys: Any) -> None:
    now = clock.now()
    created = (now - HOUR).replace(minute=1, second=0, microsecond=0)
    cue = make.recurring(make.account(), "2-59/5 * * * *", next_run=created + MINUTE, created_at=created)
    firing.fire_due([cue.pk], now=now)
    call_command("audit_slots")
    assert capsys.readouterr().out.splitlines()[-1].endswith("All is accounted for.")
    LedgerEntry.objects.order_by("first_at").first().delete()
    with pytest.raises(SystemExit) as ended:
        call_command("audit_slots", cue=cue.pk)
    told = capsys.readouterr().out.splitlines()
    assert ended.value.code == 1
    assert told[0].startswith(f"missing: {cue.pk} at ")
    assert "of 1 cues: " in told[-1]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"cue": "cue_nowhere"}, "no cue"),
        ({"since": "yesterday"}, "--since"),
        ({"until": "1999"}, "--until"),
        ({"since": "2999-01-01T00:00:00Z"}, "before"),
    ],
)
def test_the_command_says_what_it_cannot_read(options: dict[str, str], says: str) -> None:
    with pytest.raises(CommandError, match=says):
        call_command("audit_slots", **options)


# --- What retention removed -------------------------------------------------------------------------------------


@pytest.fixture
def aged() -> Cue:
    """A cue that ran every three hours of the last ten days; each execution ended at once."""
    cue = make.recurring(
        make.account(), "0 */3 * * *", catch_up="replay_all_missed", created_at=NOW - 10 * DAY - MINUTE
    )
    Cue.objects.update(next_run=NOW - 10 * DAY)
    for day in range(11):
        firing.fire_due([cue.pk], now=NOW - (10 - day) * DAY)
    Execution.objects.update(status="success", due_at=None, closed_at=F("scheduled_for"))
    return cue


def of_ten_days(cue: Cue) -> tuple[int, list[tuple[str, Any]]]:
    result = audit.audit([cue], since=NOW - 10 * DAY, until=NOW, now=NOW)
    return result.windows, [(finding.kind, finding.at) for finding in result.findings]


def test_a_run_whose_execution_was_too_old_to_be_kept_is_explained(aged: Cue, settings: Any) -> None:
    assert of_ten_days(aged) == (81, [])
    keep(settings, executions=4)
    purging.purge(now=NOW)
    assert (Execution.objects.count(), of_ten_days(aged)) == (33, (81, []))
    Execution.objects.filter(scheduled_for=NOW - 4 * DAY).delete()
    assert of_ten_days(aged) == (81, [("unexplained", NOW - 4 * DAY)])


def test_another_execution_than_the_one_told_of_is_unexplained_however_old(aged: Cue, settings: Any) -> None:
    keep(settings, executions=4)
    Execution.objects.filter(scheduled_for=NOW - 5 * DAY).update(closed_at=NOW)
    purging.purge(now=NOW)
    LedgerEntry.objects.filter(first_at=NOW - 5 * DAY).update(execution_id=uuid4())
    assert of_ten_days(aged)[1] == [("unexplained", NOW - 5 * DAY)]


def test_windows_older_than_the_ledger_are_out_of_its_reach(aged: Cue, settings: Any) -> None:
    services.update(aged.account, aged.pk, {"schedule": {"cron": "30 * * * *"}}, now=NOW)
    keep(settings, ledger=4)
    purging.purge(now=NOW)
    assert LedgerEntry.objects.count() == 33
    assert of_ten_days(aged) == (33, [])
    LedgerEntry.objects.filter(first_at=NOW - 4 * DAY).delete()
    assert [kind for kind, _ in of_ten_days(aged)[1]] == ["missing", "unexplained"]


def test_a_pause_that_reaches_into_the_kept_ledger_counts_from_there(settings: Any) -> None:
    cue = make.recurring(make.account(), "0 * * * *", created_at=NOW - 10 * DAY)
    lifecycle.pause([cue], now=NOW - 10 * DAY)
    lifecycle.resume(Cue.objects.get(), now=NOW - DAY)
    Cue.objects.update(next_run=NOW + HOUR)
    LedgerEntry.objects.exclude(verdict="skipped_paused").delete()
    keep(settings, ledger=4)
    purging.purge(now=NOW)
    part = audit.audit([Cue.objects.get()], since=NOW - 10 * DAY, until=NOW - DAY, now=NOW)
    assert (part.windows, part.findings) == (73, [])


def test_settings_that_change_later_make_nothing_a_fault(aged: Cue, settings: Any) -> None:
    keep(settings, executions=2, ledger=3)
    purging.purge(now=NOW)
    keep(settings, executions=9, ledger=0)
    purging.purge(now=NOW)
    assert of_ten_days(aged) == (25, [])


# --- A simulated time -------------------------------------------------------------------------------------------


def test_days_full_of_trouble_add_up() -> None:
    year = simulation.begin(seed=7)
    year.live(simulation.START + 2 * simulation.DAY)
    result = simulation.audit(year)
    assert [str(finding) for finding in result.findings] == []
    assert result.windows > 500
    assert len(year.happened) > 5
