"""What the agent says came of the work: reported once, with evidence, and verified as the cue asks (contract 5.8).

Delivery and outcome are two facts. A report may come before the 2xx, after it, or inside it.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from cueapi import trail, wakeups
from cueapi.errors import Conflict, Forbidden, NotFound
from cueapi.models import Account, AuditAction, SubjectType
from cueapi.trail import Change, Subject
from cues import lifecycle as cue_lifecycle
from cues.models import Transport, VerificationMode
from executions import alerts, chaining, closing
from executions.models import Execution
from executions.states import FINAL, OutcomeState, Status

TEXT_KEPT_CHARS = 2000
SUMMARY_CHARS = 500

DECIDED_BY_OUTCOME = frozenset({Status.PENDING_OUTCOME, Status.RETRYING, Status.RETRY_READY})

EVIDENCE = ("external_id", "result_url", "result_ref", "result_type", "summary", "artifacts", "assertions")
PROOF = {
    VerificationMode.EXTERNAL_ID: "external_id",
    VerificationMode.RESULT_URL: "result_url",
    VerificationMode.ARTIFACTS: "artifacts",
}


class ExecutionNotFound(NotFound):
    """No execution with that id. List yours with GET /v1/executions."""

    code = "execution_not_found"


class OutcomeAlreadyRecorded(Conflict):
    """This execution has its outcome. Add evidence with PATCH /v1/executions/{id}/evidence."""

    code = "outcome_already_recorded"


class NotExecutionOwner(Forbidden):
    """Another worker has this execution. Leave it to that one, or send the X-Worker-Id that claimed it."""

    code = "not_execution_owner"


class NoOutcome(Conflict):
    """This execution has no outcome yet. Report it first with POST /v1/executions/{id}/outcome."""

    code = "no_outcome"


class InvalidState(Conflict):
    """There is no reported outcome to decide on, or it was decided already."""

    code = "invalid_state"


def report(
    account: Account, execution_id: UUID, data: dict[str, Any], *, worker_id: str | None = None, now: datetime
) -> Execution:
    """Record the outcome. Raises ExecutionNotFound, NotExecutionOwner, and OutcomeAlreadyRecorded the second time."""
    with transaction.atomic():
        execution = locked(account, execution_id)
        require_owner(execution, worker_id)
        if execution.outcome_recorded_at is not None and not execution.outcome_is_provisional:
            raise OutcomeAlreadyRecorded()
        _write(execution, data, provisional=False, now=now)
        alerts.after_outcome(execution, now=now)
        _finish(execution, now=now)
        chaining.follow(execution, now=now)
        wakeups.announce_changes({execution.account_id})
    return execution


def take_from_reply(execution: Execution, reply: dict[str, Any], *, now: datetime) -> None:
    """Record the outcome in a 2xx reply, provisionally, unless there is one. The row is locked by the caller.

    The reply was not written for us, so what does not fit is left out instead of refused.
    """
    if execution.outcome_recorded_at is None:
        _write(execution, reply, provisional=True, now=now)
        alerts.after_outcome(execution, now=now)


def add_evidence(account: Account, execution_id: UUID, data: dict[str, Any], *, now: datetime) -> Execution:
    """Add or replace evidence and verify again; success or failure itself never changes. Raises NoOutcome."""
    with transaction.atomic():
        execution = _with_outcome(account, execution_id)
        before = execution.outcome_state
        for name in (*EVIDENCE, "metadata"):
            if data.get(name):
                column = "outcome_metadata" if name == "metadata" else name
                setattr(execution, column, _kept(name, data[name]))
        if execution.outcome_state == OutcomeState.VERIFICATION_FAILED and _is_judged_by_evidence(execution):
            _judge(execution)
        _save(execution, now=now)
        if execution.outcome_state != before:
            alerts.after_outcome(execution, now=now)
        chaining.follow(execution, now=now)
    return execution


def verify(account: Account, execution_id: UUID, *, valid: bool, reason: str | None, now: datetime) -> Execution:
    """A person's word on the outcome. Raises InvalidState where there is nothing to decide."""
    decidable = (
        OutcomeState.REPORTED_SUCCESS,
        OutcomeState.REPORTED_FAILURE,
        OutcomeState.VERIFICATION_PENDING,
    )
    with transaction.atomic():
        execution = locked(account, execution_id)
        if execution.outcome_state not in decidable:
            raise InvalidState()
        before = execution.outcome_state
        execution.outcome_state = OutcomeState.VERIFIED_SUCCESS if valid else OutcomeState.VERIFICATION_FAILED
        execution.validation_state = "valid" if valid else "invalid"
        if not valid and reason:
            room = SUMMARY_CHARS - len(reason) - 1
            execution.summary = f"{(execution.summary or '')[: max(0, room)]} {reason}".strip()
        _save(execution, now=now)
        _record_verdict(execution, before, now=now)
        alerts.after_outcome(execution, now=now)
        chaining.follow(execution, now=now)
    return execution


def _record_verdict(execution: Execution, state_was: str | None, *, now: datetime) -> None:
    """In the audit trail: who decided."""
    subject = Subject(SubjectType.EXECUTION, execution.pk, execution.cue.name, execution.account_id)
    before, after = {"outcome_state": state_was}, {"outcome_state": execution.outcome_state}
    trail.record(Change(AuditAction.EXECUTION_VERIFIED, subject, before, after), now=now)


def await_verification(account: Account, execution_id: UUID, *, now: datetime) -> Execution:
    """Put the outcome before a person. Raises NoOutcome."""
    with transaction.atomic():
        execution = _with_outcome(account, execution_id)
        execution.outcome_state = OutcomeState.VERIFICATION_PENDING
        _save(execution, now=now)
    return execution


def find(account: Account, execution_id: UUID | None) -> Execution:
    """The account's execution. Raises ExecutionNotFound, for another account's too."""
    if execution_id is None:
        raise ExecutionNotFound()
    found: Execution | None = Execution.objects.of(account).filter(pk=execution_id).select_related("cue").first()
    if found is None:
        raise ExecutionNotFound()
    return found


def require_owner(execution: Execution, worker_id: str | None) -> None:
    """Raises NotExecutionOwner for a worker that names itself and is not the one that claimed this."""
    if worker_id is not None and execution.claimed_by_worker not in (None, worker_id):
        raise NotExecutionOwner()


def locked(account: Account, execution_id: UUID) -> Execution:
    """The account's execution, locked until the transaction ends. Raises ExecutionNotFound."""
    rows = Execution.objects.of(account).select_for_update(of=("self",)).select_related("cue", "account")
    execution: Execution | None = rows.filter(pk=execution_id).first()
    if execution is None:
        raise ExecutionNotFound()
    return execution


def _with_outcome(account: Account, execution_id: UUID) -> Execution:
    execution = locked(account, execution_id)
    if execution.outcome_recorded_at is None:
        raise NoOutcome()
    return execution


def _write(execution: Execution, data: dict[str, Any], *, provisional: bool, now: datetime) -> None:
    execution.outcome_success = data["success"]
    execution.outcome_result = _kept("result", data.get("result"))
    execution.outcome_error = _kept("error", data.get("error"))
    execution.outcome_metadata = _kept("metadata", data.get("metadata"))
    for name in EVIDENCE:
        setattr(execution, name, _kept(name, data.get(name)))
    execution.exit_criteria = sorted(execution.criteria)  # fixed from here on, for a replay too
    execution.outcome_recorded_at = now
    execution.outcome_is_provisional = provisional
    _judge(execution)
    _save(execution, now=now)


def _kept(name: str, value: Any) -> Any:
    """The value as it is stored: long texts are cut, because a refusal would lose the outcome."""
    if value is None:
        return None
    if name in ("result", "error"):
        return str(value)[:TEXT_KEPT_CHARS]
    return value[:SUMMARY_CHARS] if name == "summary" else value


def _judge(execution: Execution) -> None:
    """Set `outcome_state` and `validation_state` by the cue's verification mode."""
    if not execution.outcome_success:
        execution.outcome_state = OutcomeState.REPORTED_FAILURE
        execution.validation_state = None
        return
    mode = execution.cue.verification
    proof = PROOF.get(VerificationMode(mode))
    lacking = bool(proof and not getattr(execution, proof)) or bool(_missing_assertions(execution))
    if lacking:
        execution.outcome_state = OutcomeState.VERIFICATION_FAILED
    elif mode == VerificationMode.MANUAL:
        execution.outcome_state = OutcomeState.VERIFICATION_PENDING
    else:
        execution.outcome_state = OutcomeState.VERIFIED_SUCCESS if proof else OutcomeState.REPORTED_SUCCESS
    execution.validation_state = "invalid" if lacking else "valid"


def _is_judged_by_evidence(execution: Execution) -> bool:
    """Whether evidence can mend the verdict; a person's rejection under any other mode stands."""
    proof = PROOF.get(VerificationMode(execution.cue.verification))
    return bool(execution.outcome_success and (proof or execution.criteria))


def _missing_assertions(execution: Execution) -> set[str]:
    return execution.criteria - set(execution.assertions or {})


def _finish(execution: Execution, *, now: datetime) -> None:
    """Where the outcome decides the execution, end it. The late report of a finished one is only stored.

    A webhook that waits for another attempt ends too: repeating finished work helps nobody.
    """
    is_worker = execution.transport == Transport.WORKER
    if execution.status in FINAL or not (is_worker or execution.status in DECIDED_BY_OUTCOME):
        return
    changes: dict[str, Any] = {}
    if execution.outcome_success and is_worker:
        changes["delivered_at"] = now
    if not execution.outcome_success:
        changes["error_message"] = execution.outcome_error
    to = Status.SUCCESS if execution.outcome_success else Status.FAILED
    ended = closing.close(execution, to, reason="the outcome was reported", now=now, **changes)
    if ended and is_worker:
        cue_lifecycle.count_runs({execution.cue_id: 1})


OUTCOME_COLUMNS = [
    "exit_criteria",
    "outcome_success",
    "outcome_result",
    "outcome_error",
    "outcome_metadata",
    "outcome_recorded_at",
    "outcome_is_provisional",
    "outcome_state",
    "validation_state",
    *EVIDENCE,
]


def _save(execution: Execution, *, now: datetime) -> None:
    execution.updated_at = now
    execution.save(update_fields=[*OUTCOME_COLUMNS, "updated_at"])
