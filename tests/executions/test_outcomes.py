"""What the agent says: reported once, judged by the cue's rule, in whatever order it meets the delivery."""

from datetime import timedelta
from typing import Any

import pytest

from cueapi.models import Account
from executions import delivery, due, outcomes, recording
from executions.lanes import Lane
from executions.models import Execution, Notification
from executions.states import FINAL, Status, Trigger
from executions.transports.webhook import Result
from tests.support import make
from tests.support.make import NOW
from tests.support.together import at_once

pytestmark = [pytest.mark.django_db, pytest.mark.database]

DEADLINE = NOW + timedelta(seconds=300)


@pytest.fixture
def owner() -> Account:
    return make.account()


def report(execution: Execution, success: bool = True, now=NOW, **fields: Any) -> Execution:
    outcomes.report(execution.account, execution.pk, {"success": success, **fields}, now=now)
    return Execution.objects.get(pk=execution.pk)


def sent(execution: Execution, http_status: int, reply: dict | None = None, now=NOW) -> Execution:
    """Claim the execution, and record an attempt that ended like this."""
    delivery.take(Lane.of(execution), now=now)
    return recorded(execution, http_status, reply, now)


def recorded(execution: Execution, http_status: int, reply: dict | None = None, now=NOW) -> Execution:
    run = Execution.objects.get(pk=execution.pk)
    stage = "" if http_status < 300 else "status"
    attempt = due.under_way(run, now=now)
    recording.record([Result(attempt, now, 5, http_status=http_status, error_stage=stage, reported=reply)], now=now)
    return Execution.objects.get(pk=execution.pk)


# --- Once -------------------------------------------------------------------------------------------------------


def test_a_second_report_is_refused_even_if_equal(owner) -> None:
    execution = make.execution(make.cue(owner))
    report(execution, result="first")
    with pytest.raises(outcomes.OutcomeAlreadyRecorded):
        report(execution, result="first")


@pytest.mark.django_db(transaction=True)
def test_of_two_reports_at_once_one_is_taken(owner) -> None:
    execution = make.execution(make.cue(owner), status=Status.PENDING_OUTCOME)
    answers = at_once([lambda ok=ok: report(execution, ok).outcome_success for ok in (True, False)])
    (refused,) = [answer for answer in answers if isinstance(answer, outcomes.OutcomeAlreadyRecorded)]
    (taken,) = [answer for answer in answers if answer is not refused]
    execution.refresh_from_db()
    assert (execution.outcome_success, execution.status) == (taken, "success" if taken else "failed")


def test_an_outcome_from_a_reply_gives_way_to_one_report(owner) -> None:
    execution = sent(make.execution(make.cue(owner)), 200, {"success": True, "external_id": "ack"})
    assert (execution.outcome_success, execution.outcome_is_provisional) == (True, True)
    execution = report(execution, False, error="it broke")
    assert (execution.outcome_state, execution.validation_state) == ("reported_failure", None)
    assert (execution.status, execution.external_id, execution.outcome_error) == ("success", None, "it broke")
    with pytest.raises(outcomes.OutcomeAlreadyRecorded):
        report(execution)


def test_a_report_is_not_overwritten_by_the_reply(owner) -> None:
    execution = make.execution(make.cue(owner))
    report(execution, result="mine")
    assert sent(execution, 200, {"success": False, "result": "reply"}).outcome_result == "mine"


@pytest.mark.parametrize("status", Status.values)
def test_a_report_is_accepted_in_every_status(owner, status: str) -> None:
    execution = report(make.execution(make.cue(owner), status=status, attempts=1))
    assert execution.outcome_state == "reported_success"
    ended_by_it = {"pending_outcome", "retrying", "retry_ready"}
    assert execution.status == ("success" if status in ended_by_it else status)


def test_the_report_of_another_account_finds_nothing(owner) -> None:
    execution = make.execution(make.cue(owner))
    with pytest.raises(outcomes.ExecutionNotFound):
        outcomes.report(make.account("mallory@example.org"), execution.pk, {"success": True}, now=NOW)


# --- One and two phases -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("success", [True, False])
def test_in_one_phase_the_outcome_never_changes_a_delivered_status(owner, success: bool) -> None:
    execution = report(sent(make.execution(make.cue(owner)), 200), success)
    assert (execution.status, execution.outcome_success) == ("success", success)
    assert not Notification.objects.exists()


@pytest.mark.parametrize("success", [True, False])
@pytest.mark.parametrize("order", ["report first", "2xx first", "in the reply"])
def test_in_two_phases_the_outcome_decides_in_any_order(owner, order: str, success: bool) -> None:
    cue = make.cue(owner, outcome_deadline_s=300, next_run=None, last_slot=NOW)
    execution = make.execution(cue, triggered_by=Trigger.SCHEDULED)
    delivery.take(Lane.of(execution), now=NOW)
    if order == "report first":
        assert report(execution, success, error="bad").status == "delivering"
        execution = recorded(execution, 200)
    elif order == "2xx first":
        execution = recorded(execution, 200)
        assert (execution.status, execution.due_at) == ("pending_outcome", DEADLINE)
        assert execution.outcome_deadline_at == DEADLINE
        execution = report(execution, success, error="bad")
    else:
        execution = recorded(execution, 200, {"success": success, "error": "bad"})
    assert execution.status == ("success" if success else "failed")
    assert execution.error_message == (None if success else "bad")
    cue.refresh_from_db()
    assert (cue.status, cue.run_count) == ("completed" if success else "failed", 1)
    assert Notification.objects.count() == (0 if success else 1)


@pytest.mark.parametrize("phases", [{}, {"outcome_deadline_s": 300}])
@pytest.mark.parametrize("success", [True, False])
def test_a_failed_attempt_after_a_report_is_the_last(owner, success: bool, phases: dict) -> None:
    execution = make.execution(make.cue(owner, **phases))
    delivery.take(Lane.of(execution), now=NOW)
    report(execution, success)
    assert recorded(execution, 500).status == ("success" if success else "failed")


def test_a_report_between_two_attempts_ends_the_retries(owner) -> None:
    execution = sent(make.execution(make.cue(owner)), 500)
    assert execution.status == "retrying"
    execution = report(execution)
    assert (execution.status, execution.due_at) == ("success", None)
    assert not delivery.take(Lane.of(execution), now=NOW + timedelta(hours=1)).deliveries


def test_a_report_after_the_deadline_is_kept_and_the_status_stays(owner) -> None:
    execution = make.execution(make.cue(owner), status=Status.OUTCOME_TIMEOUT, outcome_state="unknown")
    execution = report(execution, result="late", now=NOW + timedelta(days=1))
    assert (execution.status, execution.outcome_state, execution.outcome_result) == (
        "outcome_timeout",
        "reported_success",
        "late",
    )


@pytest.mark.parametrize("status", ["delivering", "pending"])  # pending: its lease was lost
@pytest.mark.parametrize("success", [True, False])
def test_a_workers_report_ends_its_execution(owner, status: str, success: bool) -> None:
    cue = make.cue(owner, transport="worker", next_run=None, last_slot=NOW)
    execution = make.execution(cue, status=status, attempts=1, triggered_by=Trigger.SCHEDULED)
    execution = report(execution, success, error=None if success else "exit 1")
    assert execution.status in FINAL
    assert (execution.delivered_at, execution.error_message) == ((NOW, None) if success else (None, "exit 1"))
    cue.refresh_from_db()
    assert (cue.run_count, cue.last_run) == (1, NOW)
    assert cue.status == ("completed" if success else "failed")
    assert Notification.objects.exists() is not success


# --- Evidence ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "evidence", "state", "validation"),
    [
        (None, {}, "reported_success", "valid"),
        ("none", {}, "reported_success", "valid"),
        ("manual", {}, "verification_pending", "valid"),
        ("require_external_id", {}, "verification_failed", "invalid"),
        ("require_external_id", {"external_id": ""}, "verification_failed", "invalid"),
        ("require_external_id", {"external_id": "m"}, "verified_success", "valid"),
        ("require_result_url", {"external_id": "m"}, "verification_failed", "invalid"),
        ("require_result_url", {"result_url": "https://a.example"}, "verified_success", "valid"),
        ("require_artifacts", {"artifacts": []}, "verification_failed", "invalid"),
        ("require_artifacts", {"artifacts": [1]}, "verified_success", "valid"),
    ],
)
def test_a_success_is_judged_by_the_cues_mode(owner, mode, evidence, state, validation) -> None:
    execution = report(make.execution(make.cue(owner, verification_mode=mode)), **evidence)
    assert (execution.outcome_state, execution.validation_state) == (state, validation)


def test_a_failure_is_a_failure_under_every_mode(owner) -> None:
    execution = report(make.execution(make.cue(owner, verification_mode="require_external_id")), False)
    assert (execution.outcome_state, execution.validation_state) == ("reported_failure", None)


@pytest.mark.parametrize(
    ("criteria", "assertions", "state"),
    [
        (None, None, "verification_failed"),  # the cue's own: done
        (None, {"done": False}, "reported_success"),
        ([], None, "reported_success"),  # none for this run
        (["other"], {"done": True}, "verification_failed"),
        (["other"], {"other": 1}, "reported_success"),
    ],
)
def test_required_assertions_must_be_there(owner, criteria, assertions, state) -> None:
    execution = make.execution(make.cue(owner, required_assertions=["done"]), exit_criteria=criteria)
    assert report(execution, assertions=assertions).outcome_state == state


def test_texts_are_cut_and_not_refused(owner) -> None:
    execution = report(make.execution(make.cue(owner)), result="r" * 4096, error="e" * 4096, summary="s" * 900)
    kept = (execution.outcome_result, execution.outcome_error, execution.summary)
    assert [len(text) for text in kept] == [2000, 2000, 500]


def add(execution: Execution, **fields: Any) -> Execution:
    outcomes.add_evidence(execution.account, execution.pk, fields, now=NOW)
    return Execution.objects.get(pk=execution.pk)


def test_evidence_needs_an_outcome(owner) -> None:
    execution = make.execution(make.cue(owner))
    for attempt in (lambda: add(execution), lambda: outcomes.await_verification(owner, execution.pk, now=NOW)):
        with pytest.raises(outcomes.NoOutcome):
            attempt()


def test_late_evidence_mends_a_failed_verification_and_leaves_what_is_absent(owner) -> None:
    execution = make.execution(make.cue(owner, verification_mode="require_external_id"))
    execution = add(report(execution, summary="kept", metadata={"n": 1}), external_id="m", summary="", artifacts=None)
    assert (execution.outcome_state, execution.validation_state) == ("verified_success", "valid")
    assert (execution.summary, execution.outcome_metadata, execution.outcome_success) == ("kept", {"n": 1}, True)


@pytest.mark.parametrize(("mode", "valid"), [("manual", True), ("manual", False), (None, True), (None, False)])
def test_evidence_does_not_undo_a_persons_word(owner, mode, valid: bool) -> None:
    execution = report(make.execution(make.cue(owner, verification_mode=mode)))
    outcomes.verify(owner, execution.pk, valid=valid, reason=None, now=NOW)
    expected = "verified_success" if valid else "verification_failed"
    assert add(execution, external_id="m").outcome_state == expected


def test_evidence_never_turns_a_failure_into_a_success(owner) -> None:
    execution = report(make.execution(make.cue(owner, verification_mode="require_external_id")), False)
    outcomes.verify(owner, execution.pk, valid=False, reason=None, now=NOW)
    assert add(execution, external_id="m").outcome_state == "verification_failed"


@pytest.mark.parametrize("state", ["reported_success", "reported_failure", "verification_pending"])
def test_a_person_may_decide(owner, state: str) -> None:
    execution = make.execution(make.cue(owner), outcome_state=state, outcome_recorded_at=NOW, summary="s" * 495)
    outcomes.verify(owner, execution.pk, valid=False, reason="not the right mail", now=NOW)
    execution.refresh_from_db()
    assert (execution.outcome_state, execution.validation_state) == ("verification_failed", "invalid")
    assert (len(execution.summary), execution.summary[-20:]) == (500, "sss not the right mail"[-20:])
    with pytest.raises(outcomes.InvalidState):
        outcomes.verify(owner, execution.pk, valid=True, reason=None, now=NOW)


@pytest.mark.parametrize("state", [None, "unknown", "verified_success", "verification_failed"])
def test_where_there_is_nothing_to_decide_verify_is_refused(owner, state) -> None:
    execution = make.execution(make.cue(owner), outcome_state=state)
    with pytest.raises(outcomes.InvalidState):
        outcomes.verify(owner, execution.pk, valid=True, reason=None, now=NOW)
