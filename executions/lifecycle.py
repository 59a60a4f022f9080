"""The sole writer of an execution's status. Every change is a guarded UPDATE and leaves a `Step` behind.

Callers inside a transaction that holds the rows may move many at once; everybody else moves one and asks whether it
moved. A late or duplicate actor finds the guard closed and changes nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from django.db.models import CharField, DateTimeField, F, OuterRef, QuerySet, Subquery, UUIDField, Value
from django.db.models.functions import Coalesce, NullIf

from cueapi import bulk
from cueapi.prepared import InsertFrom, Update, UpdateEach, given
from cues.models import Cue
from executions.models import Attempt, Execution, Step
from executions.states import FINAL, WAITING, Status, may_follow

STEP_COLUMNS = ("execution_id", "at", "before", "after", "reason")


class IllegalStep(Exception):
    """The life of an execution has no such step: a bug in the caller."""


def born(executions: Sequence[Execution], *, reason: str) -> None:
    """Insert new executions with their first step. One whose slot exists already is left out by the database."""
    if not executions:
        return
    bulk.insert(executions)
    _log_births([execution.pk for execution in executions], reason=reason)


def born_of_cues(template: Execution, ids: Mapping[str, UUID], *, reason: str) -> None:
    """Insert executions, by their cue's id, that are like `template` but for what they have from their own cue."""
    of_cue = {"cue_id": "pk", "account_id": "account_id", "lane": "lane", "payload": "payload"}
    bulk.insert_copies(template, Cue.objects.all(), of_cue, ids)
    _log_births(list(ids.values()), reason=reason)


def born_again(template: Execution, ids: Mapping[UUID, UUID], *, as_sent: bool, reason: str) -> None:
    """Insert replays by the id of their original: `template`, with its cue and what was sent, or what is there now."""
    copied = {"cue_id": "cue_id", "account_id": "account_id", "replayed_from_id": "id"}
    copied |= {"transport": "cue__transport", "lane": "cue__lane", "payload": "cue__payload"}
    if as_sent:
        copied |= {"payload": "payload", "exit_criteria": "exit_criteria"}
    bulk.insert_copies(template, Execution.objects.all(), copied, ids)
    _log_births(list(ids.values()), reason=reason)


def _log_births(ids: Sequence[UUID], *, reason: str) -> None:
    alive = Execution.objects.filter(pk__in=ids)
    first_steps = alive.values_list("pk", "created_at", Value(""), "status", Value(reason))
    bulk.insert_from(Step, STEP_COLUMNS, first_steps)


def lock(ids: Iterable[UUID], *, statuses: Iterable[Status]) -> list[Execution]:
    """Lock those of `ids` that are in these states, skipping what another holds. Call inside a transaction.

    SQLite needs no row locks: a transaction there is alone from its first statement on.
    """
    rows = Execution.objects.filter(pk__in=list(ids), status__in=list(statuses)).order_by("pk")
    return list(_locking(rows))


def lock_some(rows: QuerySet[Execution], at_most: int) -> list[Execution]:
    """Lock the first of `rows` that nobody else holds. Call inside a transaction."""
    return list(_locking(rows)[:at_most])


def lock_first(rows: QuerySet[Execution]) -> Execution | None:
    """Lock the first of `rows` that nobody else holds. Call inside a transaction."""
    return _locking(rows).first()


def _locking(rows: QuerySet[Execution]) -> QuerySet[Execution]:
    return rows.select_for_update(skip_locked=True, of=("self",)).select_related("cue", "account")


def move(execution: Execution, to: Status, *, reason: str, now: datetime, **changes: Any) -> bool:
    """Move one execution from the status and attempt it was read with. False when it is no longer there."""
    before = execution.status
    _check(before, to)
    columns = {"status": to, "updated_at": now, **_closing_columns(to, now), **changes}
    same = Execution.objects.filter(pk=execution.pk, status=before, attempts=execution.attempts)
    if not same.update(**columns):
        return False
    for name, value in columns.items():
        setattr(execution, name, value)
    Step.objects.create(execution=execution, at=now, before=before, after=to, reason=reason[:200])
    return True


def move_all(locked: Sequence[Execution], to: Status, *, reason: str, now: datetime, **changes: Any) -> None:
    """Move locked executions together; `changes` may be expressions."""
    if not locked:
        return
    columns = {"status": to, "updated_at": now, **_closing_columns(to, now), **changes}
    same = _log_steps(locked, to, reason=reason, now=now)
    Execution.objects.filter(pk__in=same["ids"], status__in=same["states"]).update(**columns)
    for execution in locked:
        execution.status = to
        if to in FINAL:
            execution.closed_at = now


class Locked(Protocol):
    """An execution whose row the caller holds, as it was read."""

    @property
    def pk(self) -> UUID: ...
    @property
    def status(self) -> str: ...


_ids, _states = given("ids", UUIDField(), many=True), given("states", CharField(), many=True)
_now, _reason = given("now", DateTimeField()), given("reason", CharField())


def _locked() -> QuerySet[Execution]:
    """These rows, as long as they are in the states they were read in."""
    rows: QuerySet[Execution] = Execution.objects.filter(pk__among=_ids, status__among=_states)
    return rows


_steps = InsertFrom(
    Step, STEP_COLUMNS, lambda: _locked().values_list("pk", _now, "status", given("after", CharField()), _reason)
)
_start = Update(
    _locked,
    status=Status.DELIVERING,
    attempts=F("attempts") + 1,
    due_at=given("due_at", DateTimeField()),
    last_attempt_at=_now,
    started_at=Coalesce("started_at", _now),
    updated_at=_now,
)
_latest = Attempt.objects.filter(execution=OuterRef("pk"), number=OuterRef("attempts"))
_succeed = Update(
    _locked,
    status=Status.SUCCESS,
    due_at=None,
    is_held=False,
    closed_at=_now,
    delivered_at=_now,
    updated_at=_now,
    http_status=Subquery(_latest.values("http_status")[:1]),
    response_body=NullIf(Subquery(_latest.values("response_body")[:1]), Value("")),
)


def start_attempts(locked: Sequence[Locked], *, due_at: datetime, now: datetime) -> None:
    """Take locked executions for one attempt each; `due_at` is when their sender counts as dead."""
    same = _log_steps(locked, Status.DELIVERING, reason="attempt started", now=now)
    _start.run(due_at=due_at, now=now, **same)


def succeed(locked: Sequence[Locked], *, now: datetime) -> None:
    """End locked executions together, as their latest attempts say; those are written down already."""
    same = _log_steps(locked, Status.SUCCESS, reason="delivered", now=now)
    _succeed.run(now=now, **same)


def hand_back(attempts: Mapping[UUID, int], *, now: datetime) -> None:
    """These were taken for an attempt of this number that was not made: they wait again, and it does not count."""
    taken = [e for e in lock(attempts, statuses=[Status.DELIVERING]) if e.attempts == attempts[e.pk]]
    first, again = [e for e in taken if e.attempts == 1], [e for e in taken if e.attempts > 1]
    same: dict[str, Any] = {"reason": "handed back before it was sent", "attempts": F("attempts") - 1, "due_at": now}
    move_all(first, Status.PENDING, now=now, started_at=None, **same)
    move_all(again, Status.RETRYING, now=now, **same)


_put_off = UpdateEach(
    lambda: Execution.objects.filter(pk=given("pk", UUIDField()), status__in=sorted(WAITING)),
    due_at=given("at", DateTimeField()),
    paced_at=given("at", DateTimeField()),
    updated_at=_now,
)


def put_off(times: Mapping[UUID, datetime], *, now: datetime) -> None:
    """These locked executions wait until then for their cue's rate."""
    _put_off.run_all([{"pk": pk, "at": at, "now": now} for pk, at in times.items()])


def make_ready(locked: Sequence[Execution], *, now: datetime) -> None:
    """The wait of these locked executions is over."""
    move_all(locked, Status.RETRY_READY, reason="the wait is over", now=now)


def release(held: Execution, *, now: datetime) -> bool:
    """Its turn has come: from now on it is due. False when somebody else released it."""
    same = Execution.objects.filter(pk=held.pk, is_held=True)
    if not same.update(is_held=False, due_at=now, updated_at=now):
        return False
    reason = "the execution before it has ended"
    Step.objects.create(execution=held, at=now, before=held.status, after=held.status, reason=reason)
    return True


def note_heartbeat(execution: Execution, *, until: datetime, now: datetime) -> None:
    """The work goes on: nobody takes it away, or times it out, before `until`. Call with the row locked."""
    execution.last_heartbeat_at, execution.due_at, execution.updated_at = now, until, now
    changed = ["last_heartbeat_at", "due_at", "updated_at"]
    if execution.claimed_by_worker is not None:
        execution.lease_expires_at = until
        changed.append("lease_expires_at")
    if execution.status == Status.PENDING_OUTCOME:
        execution.outcome_deadline_at = until
        changed.append("outcome_deadline_at")
    execution.save(update_fields=changed)


def look_again(execution: Execution, *, at: datetime, now: datetime) -> None:
    """Nothing is to be done before `at`. Call with the row locked."""
    execution.due_at, execution.updated_at = at, now
    execution.save(update_fields=["due_at", "updated_at"])


def _closing_columns(to: Status, now: datetime) -> dict[str, Any]:
    return {"due_at": None, "is_held": False, "closed_at": now} if to in FINAL else {}


def _check(before: str, after: Status) -> None:
    if not may_follow(before, after):
        raise IllegalStep(f"{before} → {after}")


def _log_steps(locked: Sequence[Locked], after: Status, *, reason: str, now: datetime) -> dict[str, Any]:
    """Call before the rows change: what they were is read from them. Answers with which rows they are."""
    for one in locked:
        _check(one.status, after)
    same = {"ids": [one.pk for one in locked], "states": {one.status for one in locked}}
    _steps.run(now=now, after=after, reason=reason, **same)
    return same
