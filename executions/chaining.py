"""One success fires the next cue: `on_success_fire` (contract 3.7).

Called inside the transaction that made the execution a success. A constraint allows one chained execution for each
parent, so it does not matter how often, or by how many at once, a success is noticed.
"""

import logging
from datetime import datetime

from django.db import IntegrityError, connection, transaction

from cueapi import tracing
from cues.models import Cue, VerificationMode
from executions import birth
from executions.models import Execution
from executions.states import OutcomeState, Status, Trigger

log = logging.getLogger(__name__)

DEPTH_MAX = 10


def follow(execution: Execution, *, now: datetime) -> None:
    """Fire the cue's target if the execution counts as a success and has not fired it yet."""
    target_id = execution.cue.on_success_fire_id
    if target_id is None or not has_succeeded(execution):
        return
    if execution.chain_depth >= DEPTH_MAX:
        log.warning("chain.too_deep", extra={"execution": execution.pk, "depth": execution.chain_depth})
        return
    target: Cue | None = Cue.objects.filter(pk=target_id, account=execution.account_id).first()
    if target is not None:
        _fire(target, execution, now=now)


def has_succeeded(execution: Execution) -> bool:
    """Delivered or reported where the cue asks for no proof; verified where it does."""
    state = execution.outcome_state
    if execution.cue.verification != VerificationMode.NONE or execution.criteria:
        return state in (OutcomeState.VERIFIED_SUCCESS, OutcomeState.REPORTED_SUCCESS)
    if state in (OutcomeState.VERIFICATION_FAILED, OutcomeState.VERIFICATION_PENDING):
        return False
    delivered = execution.status == Status.SUCCESS and execution.outcome_success is not False
    return delivered or execution.reported is True


def _fire(target: Cue, parent: Execution, *, now: datetime) -> None:
    if Execution.objects.filter(chain_parent=parent, triggered_by=Trigger.CHAIN).exists():
        return
    execution = birth.new(target, now, Trigger.CHAIN, target.payload, now=now)
    execution.traceparent = tracing.of_execution(parent.pk, parent.traceparent)
    execution.chain_parent, execution.chain_depth = parent, parent.chain_depth + 1
    try:
        with transaction.atomic():
            birth.bear([execution], reason=f"{parent.cue_id} succeeded", now=now)
            _check_foreign_keys()
    except IntegrityError:
        log.warning("chain.target_gone", extra={"execution": parent.pk, "target": target.pk})


def _check_foreign_keys() -> None:
    """A target that is deleted at this moment must not undo the parent's verdict when the transaction commits.

    PostgreSQL would find it out only then. SQLite has one writer, so there is no such moment.
    """
    if connection.vendor == "postgresql":
        connection.check_constraints()
