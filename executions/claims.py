"""Pulling: what waits for a worker, who has it, for how long, and how it comes back (contract 5.2 to 5.7).

A claim is exclusive. It ends with an outcome, or it is taken back once its lease is over and its worker silent.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Count, QuerySet

from cueapi import trail, usage, wakeups
from cueapi.conf import conf
from cueapi.errors import Conflict
from cueapi.models import Account, AuditAction, SubjectType
from cueapi.trail import Change, Subject
from cues.models import Transport
from executions import closing, failures, lifecycle, outcomes, workers
from executions.models import Execution, Worker
from executions.states import Status

LISTED_MAX = 50
CLAIMED: dict[str, Any] = {"transport": Transport.WORKER, "status": Status.DELIVERING, "closed_at": None}
NO_CLAIM: dict[str, Any] = {
    "claimed_by_worker": None,
    "claimed_at": None,
    "last_heartbeat_at": None,
    "lease_expires_at": None,
}


class ClaimFailed(Conflict):
    """Nothing to claim here now. Ask GET /v1/executions/claimable, or send wait to be answered when there is."""

    code = "claim_failed"


class ExecutionNotClaiming(Conflict):
    """Nobody is at work on this execution, so there is no lease to extend."""

    code = "execution_not_claiming"


# --- What waits -------------------------------------------------------------------------------------------------


def claimable(account: Account, *, task: str | None, agent: str | None, now: datetime) -> list[Execution]:
    """Up to LISTED_MAX executions that a worker may claim, oldest first. Filters come before the cut."""
    if usage.is_refused(account, now=now):
        return []
    return list(_waiting(account, task=task, agent=agent, now=now).select_related("cue")[:LISTED_MAX])


def next_due(account: Account, *, now: datetime) -> datetime | None:
    """When the account's next future execution for workers can be claimed."""
    pending = Execution.objects.of(account).filter(transport=Transport.WORKER, status=Status.PENDING)
    return (
        pending.filter(scheduled_for__gt=now).order_by("scheduled_for").values_list("scheduled_for", flat=True).first()
    )


def _waiting(account: Account, *, task: str | None, agent: str | None, now: datetime) -> QuerySet[Execution]:
    rows = Execution.objects.of(account).filter(
        transport=Transport.WORKER, status=Status.PENDING, scheduled_for__lte=now, is_held=False
    )
    for name, value in (("task", task), ("agent", agent)):
        if value is not None:
            rows = rows.filter(**{f"payload__{name}": value.replace("\x00", "\ufffd")})
    return rows.order_by("scheduled_for", "pk")


# --- Who has it -------------------------------------------------------------------------------------------------


def claim(account: Account, execution_id: UUID | None, worker_id: str, *, now: datetime) -> Execution:
    """Give this execution to the worker. Raises ClaimFailed, for another account's and for unknown ones too."""
    if execution_id is None:
        raise ClaimFailed()
    return _claim(
        account, _waiting(account, task=None, agent=None, now=now).filter(pk=execution_id), worker_id, now=now
    )


def claim_next(account: Account, worker_id: str, *, task: str | None, agent: str | None, now: datetime) -> Execution:
    """Give the oldest one that waits to the worker. Raises ClaimFailed when there is none."""
    return _claim(account, _waiting(account, task=task, agent=agent, now=now), worker_id, now=now)


def _claim(account: Account, rows: QuerySet[Execution], worker_id: str, *, now: datetime) -> Execution:
    if usage.is_refused(account, now=now):
        raise ClaimFailed(usage.REFUSAL)
    with transaction.atomic():
        first = lifecycle.lock_first(rows)
        if first is None or not _take(first, worker_id, now=now):
            raise ClaimFailed()
        usage.add({account: 1}, now=now)
    return first


def _take(execution: Execution, worker_id: str, *, now: datetime) -> bool:
    lease_ends = now + lease()
    return lifecycle.move(
        execution,
        Status.DELIVERING,
        reason=f"claimed by worker {worker_id}",
        now=now,
        attempts=execution.attempts + 1,
        claimed_by_worker=worker_id,
        claimed_at=now,
        last_heartbeat_at=None,
        lease_expires_at=lease_ends,
        due_at=lease_ends,
        last_attempt_at=now,
        started_at=execution.started_at or now,
    )


def lease() -> timedelta:
    """How long a claim is good without a sign of life."""
    return timedelta(seconds=conf().worker_claim_timeout_seconds)


# --- For how long -----------------------------------------------------------------------------------------------


def heartbeat(account: Account, execution_id: UUID, worker_id: str | None, *, now: datetime) -> datetime:
    """Note that the work goes on; until when it is safe now. Raises NotExecutionOwner, ExecutionNotClaiming.

    A worker's lease starts anew. Over webhook a two-phase delivery gets its whole deadline again; while its request
    is still in flight the time limit of the delivery stands.
    """
    with transaction.atomic():
        execution = outcomes.locked(account, execution_id)
        outcomes.require_owner(execution, worker_id)
        until = _safe_until(execution, now=now)
        lifecycle.note_heartbeat(execution, until=until, now=now)
    return until


def _safe_until(execution: Execution, *, now: datetime) -> datetime:
    if execution.status == Status.DELIVERING and execution.due_at is not None:
        return now + lease() if execution.transport == Transport.WORKER else execution.due_at
    if execution.status == Status.PENDING_OUTCOME:
        return now + timedelta(seconds=execution.cue.outcome_deadline_s or 0)
    raise ExecutionNotClaiming()


# --- How it comes back ------------------------------------------------------------------------------------------


def end_lease(execution: Execution, *, now: datetime) -> None:
    """The lease is over. A worker that is still heard of keeps its claim. Call with the row locked and due."""
    worker = Worker.objects.filter(account=execution.account_id, worker_id=execution.claimed_by_worker).first()
    if worker is not None and worker.last_heartbeat_at > workers.alive_since(now) and not _is_forgotten(execution, now):
        heard_until = worker.last_heartbeat_at + timedelta(seconds=conf().worker_heartbeat_timeout_seconds)
        lifecycle.look_again(execution, at=heard_until, now=now)
    elif execution.attempts < execution.cue.max_attempts:
        give_back(execution, reason="not heard of again", now=now)
    else:
        closing.close(
            execution,
            Status.FAILED,
            reason=f"not heard of again at attempt {execution.attempts} of {execution.cue.max_attempts}",
            now=now,
            stage=failures.INTERRUPTED,
            error_message="The worker that claimed this execution fell silent about it, and no attempts are left.",
        )


def _is_forgotten(execution: Execution, now: datetime) -> bool:
    """A worker that lives may have lost the work all the same: it was started anew, or its report did not arrive."""
    heard_at = execution.last_heartbeat_at or execution.claimed_at
    most_s = conf().worker_claim_max_seconds
    return bool(most_s and heard_at and now - heard_at > timedelta(seconds=most_s))


def give_back(execution: Execution, *, reason: str, now: datetime) -> None:
    """Let others claim it, with all the time that a new one has. Call with the row locked."""
    if lifecycle.move(execution, Status.PENDING, reason=reason, now=now, due_at=now, **NO_CLAIM):
        wakeups.announce({execution.account_id})


def held(account: Account, worker_id: str) -> QuerySet[Execution]:
    """What the worker has claimed and not finished."""
    rows: QuerySet[Execution] = Execution.objects.of(account).filter(claimed_by_worker=worker_id, **CLAIMED)
    return rows


def held_by(known: Iterable[Worker]) -> Counter[int]:
    """How many executions each of these workers has claimed and not finished, by its key."""
    keys = {(worker.account_id, worker.worker_id): worker.pk for worker in known}
    claimed = Execution.objects.filter(account__in={account_id for account_id, _ in keys}, **CLAIMED).order_by()
    counts = claimed.values_list("account", "claimed_by_worker").annotate(Count("pk"))
    return Counter({keys[account, name]: count for account, name, count in counts if (account, name) in keys})


def forget_worker(account: Account, worker_id: str, *, now: datetime) -> None:
    """Delete the worker; what it had claimed can be claimed again. Raises WorkerNotFound."""
    worker = workers.find(account, worker_id)
    mine = held(account, worker.worker_id)
    with transaction.atomic():
        gone, _ = Worker.objects.filter(pk=worker.pk).delete()
        for execution in _locked(mine.values_list("pk", flat=True)):
            give_back(execution, reason="its worker was deleted", now=now)
        if gone:
            subject = Subject(SubjectType.WORKER, worker.pk, worker.worker_id, account.pk)
            trail.record(Change(AuditAction.WORKER_FORGOTTEN, subject), now=now)


def _locked(ids: Iterable[UUID]) -> list[Execution]:
    return lifecycle.lock(ids, statuses=[Status.DELIVERING])
