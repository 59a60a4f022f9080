"""A recurring cue with `alerts` that has no success for too long, and by when it should have one (contract 8.1)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cueapi import clock
from cues import lifecycle as cue_lifecycle
from cues.models import Cue
from executions import closing, outcomes, recovery, watches
from executions.models import Alert, Execution
from executions.states import Status
from tests.support import make
from tests.support.api import Api
from tests.support.make import NOW
from tests.support.together import at_once

pytestmark = [pytest.mark.django_db, pytest.mark.database]

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def hourly(multiplier: int = 2, **columns: Any) -> Cue:
    """An hourly cue, as if made or last successful at NOW, which is on the hour."""
    owner = columns.pop("owner", None) or make.account()
    expected_by = NOW + (multiplier + 1) * HOUR
    return make.recurring(
        owner,
        "0 * * * *",
        name="digest",
        alert_missed_window_multiplier=multiplier,
        alert_consecutive_failures=3,
        success_expected_by=expected_by,
        on_failure_email=False,
        **columns,
    )


def expected(cue: Cue) -> datetime | None:
    return Cue.objects.get(pk=cue.pk).success_expected_by


def flying(cue: Cue) -> Execution:
    return make.execution(cue, status=Status.DELIVERING, attempts=1)


# --- By when ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cron", "zone", "multiplier", "after", "expected_by"),
    [
        ("0 * * * *", "UTC", 1, "2031-05-04T09:00:05", "2031-05-04T11:00"),
        ("0 * * * *", "UTC", 2, "2031-05-04T09:59:59", "2031-05-04T12:00"),
        ("*/5 * * * *", "UTC", 10, "2031-05-04T09:00:00", "2031-05-04T09:55"),
        ("0 9 * * MON-FRI", "UTC", 1, "2031-05-02T09:00:01", "2031-05-06T09:00"),  # over a weekend
        ("30 2 * * *", "Europe/Paris", 1, "2031-03-29T01:30:01", "2031-03-31T00:30"),  # over a change of clocks
        ("0 0 29 2 *", "UTC", 2, "2031-05-04T09:00:00", "2040-02-29T00:00"),
    ],
)
def test_the_schedule_says_by_when(cron: str, zone: str, multiplier: int, after: str, expected_by: str) -> None:
    cue = Cue(schedule_type="recurring", cron=cron, timezone=zone, alert_missed_window_multiplier=multiplier)
    cue_lifecycle.watch_from(cue, now=datetime.fromisoformat(after).replace(tzinfo=UTC))
    assert cue.success_expected_by == datetime.fromisoformat(expected_by).replace(tzinfo=UTC)


ALERTS = {"consecutive_failures": 3, "missed_window_multiplier": 2}
DAILY = {"type": "recurring", "cron": "0 12 * * *"}


def test_only_an_active_recurring_cue_with_alerts_is_watched(api: Api) -> None:
    once = {"type": "once", "at": "2040-01-01T00:00:00Z"}
    bodies = [
        make.body(name="watched", schedule=DAILY, alerts=ALERTS),
        make.body(name="no alerts", schedule=DAILY),
        make.body(name="one-shot", schedule=once, alerts=ALERTS),
    ]
    assert [api.post("/v1/cues", body).status_code for body in bodies] == [201] * 3
    assert [cue.name for cue in Cue.objects.exclude(success_expected_by=None)] == ["watched"]
    days_ahead = (Cue.objects.get(name="watched").success_expected_by - clock.now()) / timedelta(days=1)
    assert 2 < days_ahead <= 3


def test_patching_pausing_and_resuming_keep_it_up_to_date(api: Api) -> None:
    path = f"/v1/cues/{api.post('/v1/cues', make.body(schedule=DAILY)).json()['id']}"

    def patched(**fields: Any) -> datetime | None:
        assert api.patch(path, fields).status_code == 200
        return Cue.objects.get().success_expected_by

    assert patched(name="new") is None
    assert patched(alerts=ALERTS) == (daily := Cue.objects.get().next_run + timedelta(days=2))
    assert patched(schedule={"cron": "0 12 1 * *"}) > daily
    assert patched(schedule=DAILY) == daily
    assert patched(status="paused") is None
    assert patched(alerts={"missed_window_multiplier": 1}) is None
    assert patched(status="active") == daily - timedelta(days=1)
    api.post(f"{path}/pause")
    assert Cue.objects.get().success_expected_by is None
    api.post(f"{path}/resume")
    assert Cue.objects.get().success_expected_by == daily - timedelta(days=1)
    assert patched(schedule={"type": "once", "at": "2040-01-01T00:00:00Z"}) is None
    assert patched(schedule=DAILY) is not None
    assert patched(alerts=None) is None


def test_a_patch_that_changes_nothing_about_it_does_not_put_it_off(api: Api) -> None:
    path = f"/v1/cues/{api.post('/v1/cues', make.body(schedule=DAILY, alerts=ALERTS)).json()['id']}"
    Cue.objects.update(success_expected_by=NOW)
    for fields in ({"description": "d"}, {"status": "active"}, {"alerts": ALERTS}, {"schedule": DAILY}):
        assert api.patch(path, fields).status_code == 200
        assert Cue.objects.get().success_expected_by == NOW


def test_an_operators_switch_pauses_and_resumes_the_watch() -> None:
    cue = hourly()
    cue_lifecycle.follow_switch(cue.periodic_task_id, enabled=False)
    assert expected(cue) is None
    cue_lifecycle.follow_switch(cue.periodic_task_id, enabled=True)
    assert expected(cue) > clock.now() + 2 * HOUR


# --- Success ----------------------------------------------------------------------------------------------------


def test_a_delivery_that_succeeds_puts_it_off() -> None:
    cue = hourly()
    assert closing.close(flying(cue), Status.SUCCESS, reason="t", now=NOW + 90 * MINUTE)
    assert expected(cue) == NOW + 4 * HOUR


def test_a_reported_success_puts_it_off_and_a_failure_does_not() -> None:
    cue = hourly()
    good, bad = flying(cue), flying(cue)
    outcomes.report(cue.account, bad.pk, {"success": False}, now=NOW + 90 * MINUTE)
    assert expected(cue) == NOW + 3 * HOUR
    outcomes.report(cue.account, good.pk, {"success": True}, now=NOW + 90 * MINUTE)
    assert expected(cue) == NOW + 4 * HOUR


@pytest.mark.parametrize("status", ["failed", "missed", "outcome_timeout"])
def test_a_failed_run_does_not_put_it_off(status: str) -> None:
    cue = hourly()
    before = {"missed": Status.PENDING, "outcome_timeout": Status.PENDING_OUTCOME}.get(status, Status.DELIVERING)
    closing.close(make.execution(cue, status=before), Status(status), reason="t", now=NOW + 90 * MINUTE)
    assert expected(cue) == NOW + 3 * HOUR


def test_a_2xx_after_a_negative_report_is_no_success() -> None:
    cue = hourly()
    run = flying(cue)
    outcomes.report(cue.account, run.pk, {"success": False}, now=NOW)
    run.refresh_from_db()
    closing.close(run, Status.SUCCESS, reason="t", now=NOW + 90 * MINUTE)
    assert expected(cue) == NOW + 3 * HOUR


def test_evidence_that_comes_late_makes_a_success() -> None:
    cue = hourly(verification_mode="require_external_id")
    run = flying(cue)
    outcomes.report(cue.account, run.pk, {"success": True}, now=NOW)
    assert expected(cue) == NOW + 3 * HOUR
    outcomes.add_evidence(cue.account, run.pk, {"external_id": "m:1"}, now=NOW + 90 * MINUTE)
    assert expected(cue) == NOW + 4 * HOUR


def test_a_late_success_never_moves_it_back() -> None:
    cue = hourly()
    for at in (90 * MINUTE, 10 * MINUTE):
        closing.close(flying(cue), Status.SUCCESS, reason="t", now=NOW + at)
    assert expected(cue) == NOW + 4 * HOUR


def test_a_success_judged_by_an_older_schedule_leaves_the_new_ones_time() -> None:
    cue = hourly()
    run = Execution.objects.select_related("cue", "account").get(pk=flying(cue).pk)
    Cue.objects.filter(pk=cue.pk).update(cron="* * * * *", success_expected_by=NOW + 3 * MINUTE)
    closing.close(run, Status.SUCCESS, reason="t", now=NOW + 90 * MINUTE)
    assert expected(cue) == NOW + 3 * MINUTE


def test_the_success_of_a_paused_cue_expects_nothing() -> None:
    cue = hourly()
    run = Execution.objects.select_related("cue", "account").get(pk=flying(cue).pk)
    cue_lifecycle.pause([cue], now=NOW)
    closing.close(run, Status.SUCCESS, reason="t", now=NOW)
    assert expected(cue) is None


# --- The alert --------------------------------------------------------------------------------------------------


def test_a_cue_without_success_for_too_long_raises_one_alert_and_again_after_as_long() -> None:
    cue = hourly()
    assert watches.raise_overdue(now=NOW + 3 * HOUR - MINUTE) == 0
    late = NOW + 3 * HOUR + timedelta(seconds=4)
    assert [watches.raise_overdue(now=late) for _ in range(2)] == [1, 0]
    alert = Alert.objects.get()
    assert (alert.alert_type, alert.cue, alert.execution) == ("missed_window", cue, None)
    assert alert.metadata == {"missed_window_multiplier": 2, "success_expected_by": "2031-05-04T12:00:00Z"}
    assert alert.message.startswith("digest has had no success")
    assert expected(cue) == NOW + 6 * HOUR
    watches.raise_overdue(now=NOW + 6 * HOUR)
    assert Alert.objects.count() == 2


# --- A grace of its own -----------------------------------------------------------------------------------------


def graced(seconds: int = 600, **columns: Any) -> Cue:
    """An hourly cue whose first window is at 10:00, with a grace after each window."""
    cue = hourly(alert_grace_s=seconds, next_run=NOW + HOUR, **columns)
    cue_lifecycle.watch_from(cue, now=NOW)
    cue.save()
    return cue


def test_a_window_without_success_within_its_grace_raises_an_alert_and_the_next_window_has_its_own() -> None:
    cue = graced()
    assert expected(cue) == NOW + HOUR + 10 * MINUTE
    assert watches.raise_overdue(now=NOW + HOUR + 9 * MINUTE) == 0
    assert watches.raise_overdue(now=NOW + HOUR + 10 * MINUTE) == 1
    alert = Alert.objects.get()
    assert "within 600 seconds of a window" in alert.message
    assert alert.metadata["grace_seconds"] == 600
    assert expected(cue) == NOW + 2 * HOUR + 10 * MINUTE


def test_a_success_puts_the_grace_off_to_the_window_after_its_own() -> None:
    cue = graced()
    closing.close(flying_for(cue, NOW + HOUR), Status.SUCCESS, reason="a test", now=NOW + HOUR + MINUTE)
    assert expected(cue) == NOW + 2 * HOUR + 10 * MINUTE


def test_a_late_success_of_an_earlier_window_does_not_hide_that_a_later_one_has_none() -> None:
    cue = graced()
    closing.close(flying_for(cue, NOW + HOUR), Status.SUCCESS, reason="a test", now=NOW + 2 * HOUR + 5 * MINUTE)
    assert expected(cue) == NOW + 2 * HOUR + 10 * MINUTE


def test_the_earlier_of_grace_and_multiplier_counts() -> None:
    assert expected(graced(seconds=86_400)) == NOW + 3 * HOUR


def test_a_grace_is_set_shown_and_taken_away_over_http(api: Api) -> None:
    alerts = {"consecutive_failures": 3, "missed_window_multiplier": 2, "grace_seconds": 60}
    cue = api.post("/v1/cues", make.body(schedule=DAILY, alerts=alerts)).json()
    assert cue["alerts"] == alerts
    stored = Cue.objects.get()
    assert stored.success_expected_by == stored.next_run + timedelta(seconds=60)
    changed = api.patch(f"/v1/cues/{cue['id']}", {"alerts": {"consecutive_failures": 3}}).json()
    assert changed["alerts"] == ALERTS
    assert Cue.objects.get().success_expected_by > stored.success_expected_by


def flying_for(cue: Cue, window: datetime) -> Execution:
    return make.execution(cue, status=Status.DELIVERING, attempts=1, scheduled_for=window, triggered_by="scheduled")


def test_the_sweep_looks_at_watches() -> None:
    hourly()
    assert recovery.sweep(now=NOW + 3 * HOUR)["look_at_watches"] == 1
    assert Alert.objects.count() == 1


def test_a_cue_of_every_minute_is_quiet_for_a_while_too() -> None:
    cue = hourly(1)
    Cue.objects.filter(pk=cue.pk).update(cron="* * * * *", success_expected_by=NOW)
    for minute in range(12):
        watches.raise_overdue(now=NOW + minute * MINUTE)
    at = Alert.objects.order_by("created_at").values_list("created_at", flat=True)
    assert [(instant - NOW) // MINUTE for instant in at] == [0, 6]


def test_one_cue_that_cannot_be_read_does_not_hold_up_the_others() -> None:
    cue = hourly()
    other = make.recurring(cue.account, alert_missed_window_multiplier=1, success_expected_by=NOW + HOUR)
    Cue.objects.filter(pk=cue.pk).update(cron="nonsense", success_expected_by=NOW)
    assert watches.raise_overdue(now=NOW + 3 * HOUR) == 2
    assert set(Alert.objects.values_list("cue", flat=True)) == {cue.pk, other.pk}
    assert expected(cue) is None
    assert watches.raise_overdue(now=NOW + 3 * HOUR) == 0


@pytest.mark.django_db(transaction=True)
def test_many_sweeps_at_once_raise_one_alert_each() -> None:
    owner = make.account()
    for _ in range(5):
        make.recurring(owner, alert_missed_window_multiplier=1, success_expected_by=NOW)
    assert sum(at_once([lambda: watches.raise_overdue(now=NOW)] * 4)) == 5
    assert Alert.objects.count() == 5
