"""Pulling: exclusive claims, leases that hold while their worker lives, and work that comes back."""

from datetime import timedelta
from typing import Any

import pytest

from cueapi.models import Account, MonthlyUsage
from executions import claims, outcomes, recovery, workers
from executions.claims import ClaimFailed, ExecutionNotClaiming
from executions.models import Execution, Notification, Worker
from executions.outcomes import NotExecutionOwner
from executions.states import Status
from tests.support import make
from tests.support.make import NOW
from tests.support.together import at_once

pytestmark = [pytest.mark.django_db, pytest.mark.database]

MINUTE = timedelta(minutes=1)


@pytest.fixture
def owner() -> Account:
    return make.account()


def waiting(owner: Account, **columns: Any) -> Execution:
    cue = make.recurring(
        owner,
        transport="worker",
        payload=columns.pop("payload", {}),
        max_attempts=2,
        status="paused",
        next_run=None,
    )
    return make.execution(cue, **columns)


def claim(execution: Execution, worker_id: str = "w", now: Any = NOW) -> Execution:
    return claims.claim(execution.account, execution.pk, worker_id, now=now)


def claim_next(owner: Account, worker_id: str = "w", now: Any = NOW, **wanted: Any) -> Execution:
    return claims.claim_next(owner, worker_id, **{"task": None, "agent": None} | wanted, now=now)


def listed(owner: Account, now: Any = NOW, **wanted: Any) -> list[Any]:
    return [e.pk for e in claims.claimable(owner, **{"task": None, "agent": None} | wanted, now=now)]


def fresh(execution: Execution) -> Execution:
    return Execution.objects.select_related("cue").get(pk=execution.pk)


# --- What waits -------------------------------------------------------------------------------------------------


def test_the_oldest_come_first_and_fifty_are_shown(owner: Account) -> None:
    runs = [waiting(owner, scheduled_for=NOW - n * MINUTE) for n in range(51)]
    assert listed(owner) == [run.pk for run in reversed(runs[1:])]


def test_only_due_pending_work_for_workers_of_the_account_waits(owner: Account) -> None:
    waiting(owner, status=Status.DELIVERING)
    waiting(owner, scheduled_for=NOW + MINUTE, due_at=NOW + MINUTE)
    waiting(make.account("mallory@example.org"))
    make.execution(make.recurring(owner))
    assert listed(owner) == []
    with pytest.raises(ClaimFailed):
        claim_next(owner)


def test_filters_come_before_the_cut(owner: Account) -> None:
    for _ in range(51):
        waiting(owner, payload={"task": "busy"}, scheduled_for=NOW - MINUTE)
    mine = waiting(owner, payload={"task": "mine", "agent": "a"})
    assert listed(owner, task="mine") == listed(owner, agent="a") == [mine.pk]
    assert listed(owner, task="mine", agent="b") == listed(owner, task="\x00") == []
    assert claim_next(owner, task="mine", agent="a").pk == mine.pk


# --- Claims -----------------------------------------------------------------------------------------------------


def test_a_claim_is_an_attempt_with_a_lease_and_counts_as_use(owner: Account) -> None:
    execution = fresh(claim(waiting(owner), "agent/1"))
    assert (execution.status, execution.attempts, execution.claimed_by_worker) == ("delivering", 1, "agent/1")
    assert (execution.claimed_at, execution.started_at, execution.last_attempt_at) == (NOW, NOW, NOW)
    assert execution.lease_expires_at == execution.due_at == NOW + 15 * MINUTE
    assert MonthlyUsage.objects.get().executions == 1
    assert execution.steps.get(after="delivering").reason == "claimed by worker agent/1"


def test_what_is_claimed_foreign_or_future_cannot_be_claimed(owner: Account) -> None:
    stranger = make.account("mallory@example.org")
    execution = waiting(owner)
    for account, run in ((stranger, execution.pk), (owner, make.execution(make.recurring(owner)).pk), (owner, None)):
        with pytest.raises(ClaimFailed):
            claims.claim(account, run, "w", now=NOW)
    claim(execution)
    with pytest.raises(ClaimFailed):
        claim(execution, "other")
    with pytest.raises(ClaimFailed):
        claim(waiting(owner, scheduled_for=NOW + MINUTE, due_at=NOW + MINUTE))
    assert MonthlyUsage.objects.get().executions == 1


def test_beyond_the_monthly_limit_nothing_is_offered(owner: Account) -> None:
    Account.objects.update(monthly_execution_limit=1)
    owner.refresh_from_db()
    claim(waiting(owner))
    waiting(owner)
    assert len(listed(owner)) == 1  # the grace
    later = NOW + timedelta(hours=24)
    assert listed(owner, now=later) == []
    with pytest.raises(ClaimFailed, match="Monthly execution limit reached"):
        claim_next(owner, now=later)


@pytest.mark.django_db(transaction=True)
def test_twenty_claimers_on_a_hundred_executions_get_a_hundred_different_ones(owner: Account) -> None:
    cue = make.recurring(owner, transport="worker")
    runs = {make.execution(cue).pk for _ in range(100)}

    def claim_until_empty(n: int) -> list[Any]:
        mine = []
        while True:
            try:
                mine.append(claim_next(owner, f"w{n}").pk)
            except ClaimFailed:
                if not Execution.objects.filter(status=Status.PENDING).exists():
                    return mine

    answers = at_once([lambda n=n: claim_until_empty(n) for n in range(20)])
    claimed = [pk for answer in answers for pk in answer]
    assert (len(claimed), set(claimed)) == (100, runs)
    assert set(Execution.objects.values_list("attempts", flat=True)) == {1}
    assert MonthlyUsage.objects.get().executions == 100


def test_what_was_not_offered_for_want_of_a_plan_says_so_when_it_ends(owner: Account) -> None:
    Account.objects.update(monthly_execution_limit=1)
    owner.refresh_from_db()
    claim(waiting(owner))
    refused = waiting(owner, scheduled_for=NOW + timedelta(hours=24), due_at=NOW + timedelta(hours=24))
    recovery.sweep(now=NOW + timedelta(hours=25))
    assert (fresh(refused).status, fresh(refused).error_message[:31]) == ("failed", "Monthly execution limit reached")


# --- Heartbeats -------------------------------------------------------------------------------------------------


def test_a_heartbeat_starts_the_lease_anew(owner: Account) -> None:
    execution = claim(waiting(owner))
    until = claims.heartbeat(owner, execution.pk, None, now=NOW + 10 * MINUTE)
    execution = fresh(execution)
    assert until == execution.lease_expires_at == execution.due_at == NOW + 25 * MINUTE
    assert execution.last_heartbeat_at == NOW + 10 * MINUTE


def test_only_the_claimer_s_name_will_do_where_one_is_given(owner: Account) -> None:
    execution = claim(waiting(owner), "mine")
    claims.heartbeat(owner, execution.pk, "mine", now=NOW)
    for act in (
        lambda: claims.heartbeat(owner, execution.pk, "other", now=NOW),
        lambda: outcomes.report(owner, execution.pk, {"success": True}, worker_id="other", now=NOW),
    ):
        with pytest.raises(NotExecutionOwner):
            act()
    outcomes.report(owner, execution.pk, {"success": True}, worker_id="mine", now=NOW)
    assert fresh(execution).status == "success"


@pytest.mark.parametrize("status", [Status.PENDING, Status.RETRYING, Status.SUCCESS, Status.FAILED, Status.MISSED])
def test_where_nobody_is_at_work_there_is_no_lease_to_extend(owner: Account, status: Status) -> None:
    execution = waiting(owner, status=status)
    with pytest.raises(ExecutionNotClaiming):
        claims.heartbeat(owner, execution.pk, None, now=NOW)


def test_a_handler_of_a_two_phase_delivery_puts_its_deadline_off(owner: Account) -> None:
    cue = make.recurring(owner, delivery_timeout_s=30, outcome_deadline_s=60)
    execution = make.execution(
        cue, status=Status.PENDING_OUTCOME, outcome_deadline_at=NOW + MINUTE, due_at=NOW + MINUTE
    )
    claims.heartbeat(owner, execution.pk, None, now=NOW + timedelta(seconds=50))
    recovery.sweep(now=NOW + timedelta(seconds=100))
    assert (fresh(execution).status, fresh(execution).outcome_deadline_at) == (
        "pending_outcome",
        NOW + timedelta(seconds=110),
    )
    recovery.sweep(now=NOW + timedelta(seconds=111))
    assert fresh(execution).status == "outcome_timeout"


def test_a_request_in_flight_keeps_its_own_time_limit(owner: Account) -> None:
    execution = make.execution(make.recurring(owner), status=Status.DELIVERING, attempts=1, due_at=NOW + 5 * MINUTE)
    assert claims.heartbeat(owner, execution.pk, None, now=NOW) == NOW + 5 * MINUTE
    assert (fresh(execution).due_at, fresh(execution).last_heartbeat_at) == (NOW + 5 * MINUTE, NOW)


# --- How it comes back ------------------------------------------------------------------------------------------


def test_a_lost_lease_gives_the_work_back_with_a_fresh_clock(owner: Account) -> None:
    execution = claim(waiting(owner))
    late = NOW + 15 * MINUTE
    recovery.sweep(now=late - timedelta(seconds=1))
    assert fresh(execution).status == "delivering"
    assert recovery.sweep(now=late)["end_leases"] == 1
    execution = fresh(execution)
    assert (execution.status, execution.attempts, execution.claimed_by_worker) == ("pending", 1, None)
    assert (execution.lease_expires_at, execution.claimed_at, execution.scheduled_for) == (None, None, NOW)
    recovery.sweep(now=late + 14 * MINUTE)
    assert (fresh(execution).status, listed(owner, now=late)) == ("pending", [execution.pk])
    recovery.sweep(now=late + 16 * MINUTE)
    assert fresh(execution).status == "missed"


def test_when_the_attempts_are_used_up_a_lost_lease_is_a_failure_that_escalates(owner: Account) -> None:
    execution = waiting(owner, attempts=1)
    claim(execution)
    recovery.sweep(now=NOW + 15 * MINUTE)
    assert (fresh(execution).status, fresh(execution).attempts) == ("failed", 2)
    assert "fell silent" in fresh(execution).error_message
    assert Notification.objects.get(execution=execution).kind == "email"


def test_a_worker_that_lives_keeps_its_claim_however_long_it_takes(owner: Account) -> None:
    execution = claim(waiting(owner))
    now = NOW + 15 * MINUTE
    workers.heartbeat(owner, "w", now=now - MINUTE)
    assert recovery.sweep(now=now)["end_leases"] == 1
    assert (fresh(execution).status, fresh(execution).due_at) == ("delivering", now + 2 * MINUTE)
    assert recovery.sweep(now=now + MINUTE)["end_leases"] == 0  # it is not read again before that
    recovery.sweep(now=now + 2 * MINUTE)
    assert fresh(execution).status == "pending"


def test_a_claim_that_was_never_heard_of_again_ends_after_a_day_although_its_worker_lives(owner: Account) -> None:
    silent, renewed = claim(waiting(owner)), claim(waiting(owner))
    claims.heartbeat(owner, renewed.pk, None, now=NOW + timedelta(hours=12))
    late = NOW + timedelta(days=1, seconds=1)
    workers.heartbeat(owner, "w", now=late)
    recovery.sweep(now=late)
    assert (fresh(silent).status, fresh(renewed).status) == ("pending", "delivering")


def test_another_account_s_worker_of_the_same_name_keeps_nothing(owner: Account) -> None:
    execution = claim(waiting(owner))
    workers.heartbeat(make.account("mallory@example.org"), "w", now=NOW + 14 * MINUTE)
    recovery.sweep(now=NOW + 15 * MINUTE)
    assert fresh(execution).status == "pending"


def test_the_report_of_a_worker_that_lost_its_lease_still_counts(owner: Account) -> None:
    execution = claim(waiting(owner))
    recovery.sweep(now=NOW + 15 * MINUTE)
    outcomes.report(owner, execution.pk, {"success": True}, worker_id="w", now=NOW + 16 * MINUTE)
    assert (fresh(execution).status, fresh(execution).cue.run_count) == ("success", 1)
    assert listed(owner, now=NOW + 16 * MINUTE) == []


def test_a_deleted_worker_s_claims_go_back(owner: Account) -> None:
    workers.heartbeat(owner, "w", now=NOW)
    mine, other = claim(waiting(owner)), claim(waiting(owner), "w2")
    claims.forget_worker(owner, "w", now=NOW)
    assert (fresh(mine).status, fresh(other).status, Worker.objects.count()) == ("pending", "delivering", 0)
    with pytest.raises(workers.WorkerNotFound):
        claims.forget_worker(owner, "w", now=NOW)


@pytest.mark.django_db(transaction=True)
def test_a_lease_that_ends_a_report_and_a_claim_at_once_leave_one_truth(owner: Account) -> None:
    for n in range(5):
        execution = claim(waiting(owner))
        late = NOW + (20 + n) * MINUTE
        answers = at_once(
            [
                lambda e=execution, now=late: outcomes.report(owner, e.pk, {"success": True}, now=now),
                lambda now=late: recovery.end_leases(now),
                lambda e=execution, now=late: claims.claim(owner, e.pk, "thief", now=now),
            ]
        )
        after = fresh(execution)
        assert after.outcome_success is True
        assert after.status == "success", answers
