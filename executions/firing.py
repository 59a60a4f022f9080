"""Why an execution starts: by its cue's schedule, by hand, or as a replay.

Firing is safe under races: due cues are locked (skipping those another process holds), the cue moves on in the same
transaction that inserts its execution, and a slot can exist only once.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import QuerySet

from cueapi import clock, throttling, trail, wakeups
from cueapi.conf import conf
from cueapi.errors import BadRequest, Conflict, NotFound
from cueapi.models import AuditAction, SubjectType
from cueapi.queue import enqueue
from cueapi.signing import canonical_json
from cueapi.trail import Change, Subject
from cueapi.turns import taking_turns
from cues import beat, history
from cues import lifecycle as cue_lifecycle
from cues.definition import check_payload_size
from cues.models import SCHEDULE_COLUMNS, Cue
from cues.services import CueNotFound
from executions import birth, windows
from executions.models import Execution
from executions.states import FINAL, Trigger

IDEMPOTENCY_WINDOW = timedelta(hours=24)
HELD_WAIT_S = 0.5
FIRED_WITH = (*SCHEDULE_COLUMNS, "account_id", "next_run", "last_slot", "fired_count", "periodic_task_id")
FIRED_WITH += ("transport", "lane")  # the payload is copied within the database; the rest waits for the delivery


GONE = "This execution is just being deleted. List those there are with GET /v1/executions."


class ExecutionInFlight(Conflict):
    """This execution has not ended. Replay it when it has."""

    code = "execution_in_flight"


# --- By the schedule --------------------------------------------------------------------------------------------


def fire_due(cue_ids: Iterable[str], *, now: datetime) -> int:
    """Fire those of these cues that are due, and hand their executions out. How many executions that made.

    Cues that are not due, not active or unknown are left alone; those that another process holds come back.
    """
    cue_ids = list(cue_ids)
    with taking_turns(), transaction.atomic():
        due = list(
            Cue.objects.due(now + clock.SKEW)
            .select_for_update(skip_locked=True, no_key=True, of=("self",))
            .filter(pk__in=cue_ids)
            .order_by("pk")
            .only(*FIRED_WITH)
        )
        fired = list(windows.settle(due, now=now))
        cue_lifecycle.advance([one.move for one in fired], now=now)
        history.write(entry for one in fired for entry in one.entries)
        runs = [run for one in fired for run in one.runs]
        birth.bear_runs(runs, reason="its time came", now=now)
        _fail_missed_one_shots(fired, now=now)
        beat.mark_fired(due, now=now)
    _come_back_for(set(cue_ids) - {cue.pk for cue in due}, now=now)
    return len(runs)


def _fail_missed_one_shots(fired: Iterable[windows.Settled], *, now: datetime) -> None:
    for one in fired:
        if not one.runs and not one.move.cue.is_recurring:
            cue_lifecycle.finish_one_shot(one.move.cue.pk, slot=one.move.last_slot, success=False, now=now)


def _come_back_for(skipped: set[str], *, now: datetime) -> None:
    """Whoever records a delivery or saves a patch holds the cue for a moment: its slot must not wait for a sweep."""
    held = list(Cue.objects.due(now).filter(pk__in=skipped).values_list("pk", flat=True)) if skipped else []
    if held:
        enqueue(beat.FIRE_TASK, queue=beat.FIRE_QUEUE, countdown_s=HELD_WAIT_S, cue_ids=held)


# --- By hand ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ManualFire:
    """The body of a fire call, checked for shape."""

    payload_override: dict[str, Any] | None = None
    merge_strategy: str = "merge"
    send_at: datetime | None = None
    exit_criteria: list[str] | None = None
    idempotency_key: str | None = None
    traceparent: str | None = None
    body: dict[str, Any] = field(default_factory=dict)


def fire(cue: Cue, order: ManualFire, *, now: datetime) -> Execution:
    """Fire the cue once, whatever its status; its schedule and status stay as they are.

    Raises BadRequest and InvalidPayload for the payload, Conflict for a reused idempotency key.
    """
    due_at = max(order.send_at or now, now)
    with transaction.atomic():
        _hold(cue)
        first = _already_fired(cue, order, now=now) if order.idempotency_key else None
        if first is not None:
            return first
        execution = birth.new(cue, due_at, Trigger.MANUAL_FIRE, _effective_payload(cue, order), now=now)
        execution.exit_criteria, execution.traceparent = order.exit_criteria, order.traceparent
        if order.idempotency_key:
            execution.idempotency_key = order.idempotency_key
            execution.idempotency_hash = _hash(order.body)
        birth.bear([execution], reason="fired by hand", now=now)
        wakeups.announce_changes({cue.account_id})
    return execution


def check(cue: Cue, order: ManualFire) -> None:
    """Raises what `fire` would raise for the payload."""
    _effective_payload(cue, order)


def take_turn(account_id: UUID, *, now: datetime) -> None:
    """Count a fire by hand of the account's. Raises RateLimited over FIRE_LIMIT_PER_HOUR."""
    limit = conf().fire_limit_per_hour
    if limit:
        throttling.take(throttling.Quota("fire", limit, throttling.HOUR_S), str(account_id), now=now)


def _hold(cue: Cue) -> Cue:
    """Keep the cue, as it is now, until the transaction ends. Raises CueNotFound when it was deleted meanwhile."""
    held: Cue | None = Cue.objects.select_for_update(no_key=True).filter(pk=cue.pk).first()
    if held is None:
        raise CueNotFound()
    return held


def _effective_payload(cue: Cue, order: ManualFire) -> dict[str, Any]:
    if cue.require_payload_override and order.payload_override is None:
        raise BadRequest("This cue fires only with a payload_override.", code="payload_override_required")
    payload = order.payload_override or {}
    if order.merge_strategy == "merge":
        payload = cue.payload | payload
    elif order.payload_override is None:
        payload = cue.payload
    missing = [key for key in cue.required_payload_keys or [] if key not in payload]
    if missing:
        raise BadRequest(
            f"The payload lacks what this cue requires: {', '.join(missing)}.",
            code="missing_required_payload_keys",
        )
    check_payload_size(payload, where="body.payload_override")
    return payload


def _already_fired(cue: Cue, order: ManualFire, *, now: datetime) -> Execution | None:
    """The execution that this key made within a day. Raises Conflict when the body was another."""
    first: Execution | None = (
        Execution.objects.filter(
            cue=cue, idempotency_key=order.idempotency_key, created_at__gt=now - IDEMPOTENCY_WINDOW
        )
        .newest_first()
        .first()
    )
    if first is not None and first.idempotency_hash != _hash(order.body):
        raise Conflict(
            "This idempotency_key was used with another body. Use a new key for a new call.",
            code="idempotency_key_conflict",
            where="body.idempotency_key",
        )
    return first


def _hash(body: dict[str, Any]) -> str:
    return hashlib.sha256(canonical_json(body)).hexdigest()


# --- Again ------------------------------------------------------------------------------------------------------


class ReplayOf(StrEnum):
    """What a replay sends, and what its outcome is judged by."""

    AS_SENT = "as_sent"  # the original's payload and criteria
    CURRENT = "current"  # those that its cue has now


def replay(original: Execution, *, definition: ReplayOf = ReplayOf.AS_SENT, now: datetime) -> Execution:
    """A new execution of what has ended, due now.

    Raises ExecutionInFlight; CueNotFound and NotFound when it was deleted meanwhile; BadRequest when the cue's own
    payload is not one to fire with.
    """
    if original.status not in FINAL:
        raise ExecutionInFlight()
    same = Execution.objects.filter(pk=original.pk)
    with transaction.atomic():
        same.select_for_update(no_key=True).values_list("pk").first()  # before its cue, as who reports on it does
        cue = _hold(original.cue)
        if definition == ReplayOf.CURRENT:
            check_own_payload(cue)
        made = replay_all(same, definition=definition, now=now)
        if not made:
            raise NotFound(GONE, code="execution_not_found")
    replayed: Execution = Execution.objects.get(pk=made[original.pk])
    return replayed


def replay_all(originals: QuerySet[Execution], *, definition: ReplayOf, now: datetime) -> Mapping[UUID, UUID]:
    """Replay those of these ended executions that nobody else holds; by the original's id, the new one.

    Call inside a transaction that holds their cues, so that of two callers at once the later one sees what the other
    did: each replay of an execution is made with its cue held.
    """
    free = originals.select_for_update(skip_locked=True, no_key=True).values_list("pk", flat=True)
    ids = {pk: uuid4() for pk in free}
    if ids:
        birth.bear_again(ids, as_sent=definition == ReplayOf.AS_SENT, reason="replayed by hand", now=now)
        _record_replays(ids, definition, now=now)
    return ids


def _record_replays(ids: Mapping[UUID, UUID], definition: ReplayOf, *, now: datetime) -> None:
    """In the audit trail: who has these run again."""
    originals = Execution.objects.filter(pk__in=ids).values_list("pk", "account", "cue__name")
    changes = [
        Change(
            AuditAction.EXECUTION_REPLAYED,
            Subject(SubjectType.EXECUTION, pk, name, account_id),
            after={"replayed_as": ids[pk], "definition": definition.value},
        )
        for pk, account_id, name in originals
    ]
    trail.record(*changes, now=now)


def check_own_payload(cue: Cue) -> None:
    """Raises BadRequest when the cue asks for more than its own payload has."""
    try:
        _effective_payload(cue, ManualFire())
    except BadRequest as lacking:
        advice = f'{lacking.message} Replay it "{ReplayOf.AS_SENT}", or fire the cue with a payload_override.'
        raise BadRequest(advice, code=lacking.code, where="body.definition") from None
