"""Which facts raise which alert: once, whoever notices twice, and without ever undoing a verdict (contract 8.1)."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from cueapi.models import Account
from cues.models import Cue
from executions import alerts, closing, outcomes, recovery
from executions.alerts import AlertNotFound
from executions.models import Alert, Execution, Notification
from executions.states import Status
from tests.support import make
from tests.support.make import NOW
from tests.support.together import at_once

pytestmark = [pytest.mark.django_db, pytest.mark.database]

SECOND = timedelta(seconds=1)
QUIET = timedelta(seconds=300)


@pytest.fixture
def cue() -> Cue:
    return make.recurring(make.account(), name="digest", on_failure_email=False)


def flying(cue: Cue, **columns: Any) -> Execution:
    return make.execution(cue, **{"status": Status.DELIVERING, "attempts": 1} | columns)


def end(execution: Execution, to: Status = Status.FAILED, at: timedelta = timedelta(0)) -> Execution:
    assert closing.close(execution, to, reason="test", now=NOW + at)
    return execution


def fail(cue: Cue, times: int = 1, at: timedelta = timedelta(0)) -> None:
    for number in range(times):
        end(flying(cue), at=at + number * SECOND)


def report(execution: Execution, success: bool, at: timedelta = timedelta(0), **evidence: Any) -> None:
    outcomes.report(execution.account, execution.pk, {"success": success, **evidence}, now=NOW + at)


def raised() -> list[tuple[str, dict]]:
    return list(Alert.objects.order_by("created_at").values_list("alert_type", "metadata"))


def streaks() -> list[int]:
    return [metadata["consecutive_failures"] for kind, metadata in raised() if kind == "consecutive_failures"]


# --- Streaks ----------------------------------------------------------------------------------------------------


def test_the_third_failure_in_a_row_raises_an_alert(cue: Cue) -> None:
    fail(cue, 2)
    assert streaks() == []
    last = end(flying(cue), at=2 * SECOND)
    alert = Alert.objects.get()
    assert (alert.account, alert.cue, alert.execution) == (cue.account, cue, last)
    assert (alert.alert_type, alert.severity) == ("consecutive_failures", "warning")
    assert (alert.message, alert.metadata) == ("digest failed 3 times in a row", {"consecutive_failures": 3})
    assert (alert.created_at, alert.acknowledged_at) == (NOW + 2 * SECOND, None)


@pytest.mark.parametrize("wanted", [1, 2, 5, 100])
def test_a_cue_says_how_many_make_a_streak(wanted: int) -> None:
    cue = make.recurring(make.account(), alert_consecutive_failures=wanted, on_failure_email=False)
    for _ in range(wanted - 2):
        make.execution(cue, status=Status.FAILED, closed_at=NOW - SECOND)
    fail(cue)
    assert streaks() == ([1] if wanted == 1 else [])
    if wanted > 1:
        fail(cue)
        assert streaks() == [wanted]


def test_a_success_ends_the_streak(cue: Cue) -> None:
    fail(cue, 2)
    end(flying(cue), Status.SUCCESS, at=5 * SECOND)
    fail(cue, 2, at=6 * SECOND)
    assert streaks() == []


def test_what_has_not_ended_neither_counts_nor_ends_a_streak(cue: Cue) -> None:
    fail(cue, 2)
    for status in ("pending", "delivering", "retrying", "retry_ready", "pending_outcome"):
        make.execution(cue, status=status, created_at=NOW + SECOND)
    assert streaks() == []
    fail(cue)
    assert streaks() == [3]


def test_failures_of_another_cue_do_not_count(cue: Cue) -> None:
    other = make.recurring(cue.account, on_failure_email=False)
    fail(cue, 2)
    fail(other, 2)
    assert streaks() == []


def test_every_sort_of_failure_counts(cue: Cue) -> None:
    make.execution(cue, status=Status.MISSED)
    make.execution(cue, status=Status.OUTCOME_TIMEOUT)
    make.execution(cue, status=Status.SUCCESS, outcome_success=False, outcome_state="reported_failure")
    make.execution(cue, status=Status.SUCCESS, outcome_success=True, outcome_state="verification_failed")
    end(flying(cue), at=SECOND)
    assert streaks() == [5]


@pytest.mark.parametrize("first", ["the report", "the 2xx"])
def test_a_negative_outcome_of_a_delivered_webhook_counts_once_whichever_comes_first(cue: Cue, first: str) -> None:
    for number in range(3):
        assert streaks() == []
        run = flying(cue)
        if first == "the report":
            report(run, False)
            run.refresh_from_db()
        end(run, Status.SUCCESS, at=number * SECOND)
        if first == "the 2xx":
            report(run, False)
    assert streaks() == [3]


def test_a_failure_that_a_person_verified_as_success_does_not_count(cue: Cue) -> None:
    fail(cue, 2)
    run = end(flying(cue), Status.SUCCESS, at=2 * SECOND)
    outcomes.report(run.account, run.pk, {"success": False}, now=NOW + QUIET)
    assert streaks() == [3]
    outcomes.verify(run.account, run.pk, valid=True, reason=None, now=NOW + QUIET)
    fail(cue, 1, at=3 * QUIET)
    assert streaks() == [3]


def test_the_last_are_the_last_to_end(cue: Cue) -> None:
    slow = flying(cue)
    fail(cue, 2, at=SECOND)
    end(flying(cue), Status.SUCCESS, at=5 * SECOND)
    end(slow, at=6 * SECOND)  # begun first, ended last
    assert streaks() == []
    fail(cue, 2, at=7 * SECOND)
    assert streaks() == [3]


def test_a_run_that_took_longer_than_many_newer_ones_counts_too(cue: Cue) -> None:
    slow = flying(cue, created_at=NOW - QUIET)
    for _ in range(alerts.STREAK_LOOKS_BACK + 10):
        make.execution(cue, status=Status.FAILED)
    end(slow, at=SECOND)
    assert len(streaks()) == 1


def test_a_late_word_on_an_old_run_does_not_raise_todays_streak_again(cue: Cue) -> None:
    old = end(flying(cue), Status.SUCCESS)
    end(flying(cue), Status.SUCCESS, at=SECOND)
    fail(cue, 3, at=2 * SECOND)
    report(old, False, at=2 * QUIET)
    assert streaks() == [3]


def test_a_streak_that_goes_on_is_raised_again_after_a_while_only(cue: Cue) -> None:
    fail(cue, 5)
    assert streaks() == [3]
    fail(cue, 1, at=QUIET + SECOND)
    assert streaks() == [3]
    fail(cue, 1, at=QUIET + 2 * SECOND)
    assert streaks() == [3, 7]


def test_the_length_of_a_streak_is_bounded(cue: Cue) -> None:
    for _ in range(alerts.STREAK_LOOKS_BACK + 10):
        make.execution(cue, status=Status.FAILED, created_at=NOW - SECOND)
    fail(cue, 1, at=SECOND)
    assert streaks() == [alerts.STREAK_LOOKS_BACK + 3]


def test_an_acknowledged_alert_silences_nothing_and_is_remembered(cue: Cue) -> None:
    fail(cue, 3)
    seen_at = NOW + timedelta(minutes=2)
    alerts.acknowledge(cue.account, Alert.objects.get().pk, now=seen_at)
    fail(cue, 1, at=2 * QUIET)
    fail(cue, 1, at=4 * QUIET)
    previous = [metadata.get("previous_acknowledged_at") for _, metadata in raised()]
    assert previous == [None, "2031-05-04T09:02:00Z", "2031-05-04T09:02:00Z"]


@pytest.mark.django_db(transaction=True)
def test_of_three_that_fail_at_once_the_last_sees_the_others(cue: Cue) -> None:
    for number in range(5):
        cue = make.recurring(cue.account, name=f"race {number}")
        runs = [flying(cue) for _ in range(3)]
        assert (
            at_once([lambda run=run: closing.close(run, Status.FAILED, reason="t", now=NOW) for run in runs])
            == [True] * 3
        )
    assert streaks() == [3] * 5


@pytest.mark.django_db(transaction=True)
def test_of_two_negative_outcomes_at_once_one_sees_the_other() -> None:
    owner = make.account()
    for _ in range(5):
        cue = make.recurring(owner, alert_consecutive_failures=2)
        runs = [make.execution(cue, status=Status.SUCCESS) for _ in range(2)]
        assert at_once([lambda run=run: report(run, False) for run in runs]) == [None, None]
    assert streaks() == [2] * 5


# --- Verification and deadlines ---------------------------------------------------------------------------------


def test_a_success_report_without_its_evidence_raises_an_alert(cue: Cue) -> None:
    cue.verification_mode = "require_external_id"
    cue.save()
    run = make.execution(cue)
    report(run, True)
    alert = Alert.objects.get()
    assert (alert.alert_type, alert.execution, alert.cue) == ("verification_failed", run, cue)
    assert alert.metadata == {"verification_mode": "require_external_id"}


def test_evidence_that_mends_the_verdict_and_evidence_that_does_not_raise_nothing_more(cue: Cue) -> None:
    cue.verification_mode = "require_external_id"
    cue.save()
    run = make.execution(cue)
    report(run, True)
    outcomes.add_evidence(cue.account, run.pk, {"summary": "still none"}, now=NOW + 2 * QUIET)
    outcomes.add_evidence(cue.account, run.pk, {"external_id": "m:1"}, now=NOW + 3 * QUIET)
    assert len(raised()) == 1


def test_a_persons_rejection_raises_an_alert_and_counts_as_a_failure(cue: Cue) -> None:
    fail(cue, 2)
    run = end(flying(cue), Status.SUCCESS, at=5 * SECOND)
    report(run, True, at=6 * SECOND)
    assert raised() == []
    outcomes.verify(cue.account, run.pk, valid=False, reason="wrong", now=NOW + 7 * SECOND)
    assert sorted(kind for kind, _ in raised()) == ["consecutive_failures", "verification_failed"]


def test_one_alert_about_the_verification_of_an_execution_within_a_while(cue: Cue) -> None:
    run, other = (make.execution(cue, status=Status.SUCCESS) for _ in range(2))
    report(run, True)
    for at in (SECOND, 2 * SECOND, QUIET + 2 * SECOND):
        outcomes.verify(cue.account, run.pk, valid=False, reason=None, now=NOW + at)
        outcomes.await_verification(cue.account, run.pk, now=NOW + at)
    assert Alert.objects.filter(execution=run).count() == 2
    report(other, True)
    outcomes.verify(cue.account, other.pk, valid=False, reason=None, now=NOW + QUIET + 3 * SECOND)
    assert Alert.objects.filter(execution=other).count() == 1


def test_an_outcome_in_the_reply_that_lacks_its_evidence_raises_an_alert(cue: Cue) -> None:
    cue.verification_mode = "require_artifacts"
    cue.save()
    run = flying(cue)
    outcomes.take_from_reply(run, {"success": True}, now=NOW)
    end(run, Status.SUCCESS)
    assert [kind for kind, _ in raised()] == ["verification_failed"]


def test_a_deadline_that_passes_raises_an_alert(cue: Cue) -> None:
    cue.outcome_deadline_s = 60
    cue.save()
    run = make.execution(cue, status=Status.PENDING_OUTCOME, outcome_deadline_at=NOW)
    recovery.end_unreported(NOW)
    alert = Alert.objects.get()
    assert (alert.alert_type, alert.execution_id) == ("outcome_timeout", run.pk)
    assert alert.metadata == {"outcome_deadline_seconds": 60}
    assert "60 seconds" in alert.message


def test_success_raises_nothing(cue: Cue) -> None:
    end(flying(cue), Status.SUCCESS)
    report(flying(cue), True)
    assert raised() == []


# --- What is sent -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "mail_server", "kinds"),
    [
        ({}, "", []),
        ({}, "smtp://127.0.0.1", ["email"]),
        ({"alert_email": False}, "smtp://127.0.0.1", []),
        ({"alert_webhook_url": make.NOWHERE}, "", ["webhook"]),
        ({"alert_webhook_url": make.NOWHERE}, "smtp://127.0.0.1", ["email", "webhook"]),
    ],
)
def test_an_alert_is_sent_as_the_account_and_the_server_are_set(
    settings: Any, columns: dict, mail_server: str, kinds: list[str]
) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"email_url": mail_server})
    cue = make.recurring(make.account(**columns), on_failure_email=False)
    fail(cue, 3)
    waiting = Notification.objects.filter(alert=Alert.objects.get(), account=cue.account, execution=None)
    assert sorted(waiting.values_list("kind", flat=True)) == kinds
    assert Notification.objects.count() == len(kinds)


def test_whatever_goes_wrong_over_an_alert_the_verdict_stands(cue: Cue) -> None:
    Cue.objects.filter(pk=cue.pk).update(
        cron="nonsense", success_expected_by=NOW, alert_missed_window_multiplier=2, alert_consecutive_failures=1
    )
    cue.refresh_from_db()
    run = end(flying(cue), Status.SUCCESS)  # and the cue's next success cannot be expected at any time
    run.refresh_from_db()
    assert run.status == "success"
    report(run, False)
    assert streaks() == [1]


def test_a_database_that_refuses_the_alert_still_takes_the_verdict(cue: Cue) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE executions_alert RENAME TO executions_alert_away")
        fail(cue, 3)
        cursor.execute("ALTER TABLE executions_alert_away RENAME TO executions_alert")
    assert list(Execution.objects.values_list("status", flat=True)) == ["failed"] * 3
    assert raised() == []


def test_a_long_name_fits_into_the_message() -> None:
    cue = make.recurring(make.account(), name="x" * 255, on_failure_email=False)
    fail(cue, 3)
    assert Alert.objects.get().message.startswith("x" * 255)


# --- Acknowledging ----------------------------------------------------------------------------------------------


def test_the_first_acknowledgement_counts(cue: Cue) -> None:
    fail(cue, 3)
    pk = Alert.objects.get().pk
    assert alerts.acknowledge(cue.account, pk, now=NOW).acknowledged_at == NOW
    assert alerts.acknowledge(cue.account, pk, now=NOW + QUIET).acknowledged_at == NOW


def test_another_accounts_alert_is_not_found_and_stays_as_it_was(cue: Cue) -> None:
    fail(cue, 3)
    stranger: Account = make.account("mallory@example.org")
    for account, pk in ((stranger, Alert.objects.get().pk), (cue.account, None)):
        with pytest.raises(AlertNotFound):
            alerts.acknowledge(account, pk, now=NOW)
    assert Alert.objects.get().acknowledged_at is None
