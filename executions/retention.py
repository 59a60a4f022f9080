"""Retention: removes what is older than its setting allows, in steps so short that no delivery waits for one.

A step is one transaction over at most so many rows, found by an index; what another process holds is left for the next
time. It may run twice at once and be killed anywhere: a step happens whole or not at all, and the next run finds the
rest. How far back each kind reaches is noted before its first row goes (`Horizon`), so that nobody mistakes for a fault
what was only removed.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import OperationalError, connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from cueapi.conf import conf
from cueapi.turns import taking_turns
from cues.models import Cue, Definition, LedgerEntry
from executions.models import Alert, Attempt, Execution, Horizon, Kept, Notification, Step

log = logging.getLogger(__name__)

EXECUTIONS_MAX = 50  # in one step, each with its few attempts, steps and notifications
ROWS_MAX = 200  # of what has little or nothing below it
CUES_MAX = 500  # whose ledger one step looks at
REST_MAX_S = 0.5  # between two steps
LOCK_WAIT_MS = 200  # on PostgreSQL; well under its deadlock_timeout, so that it is never somebody else who gives way

BODIES, EXECUTIONS, ENTRIES, DEFINITIONS, ALERTS, MAILS = REMOVED = (
    "response bodies",
    "executions",
    "ledger rows",
    "past definitions",
    "alerts",
    "mails about workers",
)
"""What is counted: the response bodies by the executions that had them."""

Ends = Mapping[Kept, datetime]
"""For each kind that is not kept for ever, the instant before which it goes."""


def ends(*, now: datetime) -> Ends:
    """Where each kind ends by the settings in force; those that are kept for ever are left out."""
    days = {
        Kept.BODIES: conf().retention_attempt_bodies_days,
        Kept.EXECUTIONS: conf().retention_executions_days,
        Kept.LEDGER: conf().retention_ledger_days,
        Kept.ALERTS: conf().retention_alerts_days,
    }
    return {kind: now - timedelta(days=number) for kind, number in days.items() if number}


def horizons() -> Ends:
    """How far back each kind can be relied on, whatever the settings are today. Read it after the rows in question."""
    return {Kept(horizon.kind): horizon.at for horizon in Horizon.objects.all()}


# --- What is over -----------------------------------------------------------------------------------------------


def over(ends: Ends) -> dict[str, QuerySet[Any]]:
    """The rows that are to go, by what they are."""
    found: dict[str, QuerySet[Any]] = {}
    if Kept.BODIES in ends:
        since = {"closed_at__gte": ends[Kept.EXECUTIONS]} if Kept.EXECUTIONS in ends else {}
        found[BODIES] = _ended_before(ends[Kept.BODIES]).filter(bodies_removed_at=None, **since)
    if Kept.EXECUTIONS in ends:
        found[EXECUTIONS] = _ended_before(ends[Kept.EXECUTIONS])
    if Kept.LEDGER in ends:
        found[ENTRIES] = _entries_before(ends[Kept.LEDGER])
        found[DEFINITIONS] = _definitions_replaced_by(ends[Kept.LEDGER])
    if Kept.ALERTS in ends:
        found[ALERTS] = Alert.objects.filter(created_at__lt=ends[Kept.ALERTS]).order_by("created_at")
        found[MAILS] = _mails_about_workers_before(ends[Kept.ALERTS])
    return found


def _ended_before(end: datetime) -> QuerySet[Execution]:
    ended: QuerySet[Execution] = Execution.objects.filter(closed_at__lt=end).order_by("closed_at")
    return ended


def _entries_before(end: datetime) -> QuerySet[LedgerEntry]:
    """Verdicts whose last window is older. The first one is asked too, because it is in the index."""
    last_is_older = Q(last_at=None) | Q(last_at__lt=end)
    return LedgerEntry.objects.filter(last_is_older, first_at__lt=end)


def _definitions_replaced_by(end: datetime) -> QuerySet[Definition]:
    """All but the definition that was in force then, and those that came after it."""
    later = Definition.objects.filter(cue=OuterRef("cue"), since__gt=OuterRef("since"), since__lte=end)
    return Definition.objects.filter(Exists(later), since__lt=end)


def _mails_about_workers_before(end: datetime) -> QuerySet[Notification]:
    """Those about an execution or an alert go with it."""
    return Notification.objects.filter(worker__isnull=False, due_at=None, sent_at__lt=end).order_by("sent_at")


# --- One run ----------------------------------------------------------------------------------------------------


@dataclass
class Run:
    """What one run removed, and where it left off. `position` is the last cue whose ledger is done; None: all are."""

    position: str | None = ""
    is_done: bool = False
    removed: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Done:
    """What one step removed, and whether another may find more."""

    removed: Mapping[str, int]
    more: bool


def purge(*, now: datetime, position: str | None = "", go_on: Callable[[], bool] = lambda: True) -> Run:
    """Remove what is over at `now`, a step of each kind in turn, until nothing is left or `go_on` says no after a step.

    A round is always finished, so that each kind comes on however little time there is.
    """
    limits = ends(now=now)
    _note(limits)
    run = Run(position)
    turns, going = list(_work(limits, run, now=now)), True
    while turns and going:
        for step in list(turns):
            done = step()
            run.removed.update(done.removed)
            if not done.more:
                turns.remove(step)
            going = go_on() and going
    run.is_done = not turns
    removed = {name.replace(" ", "_"): count for name, count in run.removed.items() if count}
    if removed:
        log.info("retention.purged", extra=removed)
    return run


def _note(limits: Ends) -> None:
    """Move the horizons forward. They never move back: what was removed under another setting stays removed."""
    Horizon.objects.bulk_create([Horizon(kind=kind, at=at) for kind, at in limits.items()], ignore_conflicts=True)
    for kind, at in limits.items():
        Horizon.objects.filter(kind=kind, at__lt=at).update(at=at)


def _work(limits: Ends, run: Run, *, now: datetime) -> Iterator[Callable[[], Done]]:
    """The steps to be repeated as long as there is more for them."""
    rows = over(limits)
    if BODIES in rows:
        yield partial(_some, BODIES, partial(_blank, rows[BODIES], now=now), EXECUTIONS_MAX)
    if EXECUTIONS in rows:
        for bodiless in (True, False):  # each has an index of its own
            ended = rows[EXECUTIONS].filter(bodies_removed_at__isnull=not bodiless)
            yield partial(_some, EXECUTIONS, partial(_delete_executions, ended), EXECUTIONS_MAX)
    if ENTRIES in rows and run.position is not None:
        yield partial(_ledger_of_some_cues, rows[ENTRIES], rows[DEFINITIONS], run)
    if ALERTS in rows:
        yield partial(_some, ALERTS, partial(_delete_alerts, rows[ALERTS]), ROWS_MAX)
        yield partial(_some, MAILS, partial(_delete, rows[MAILS]), ROWS_MAX)


def _some(name: str, act: Callable[[], int], at_most: int) -> Done:
    """There is more where as much was found as could be taken; else the rest is held by others, or not over yet."""
    count = _attempt(act)
    return Done({name: count}, more=count == at_most)


def _ledger_of_some_cues(entries: QuerySet[LedgerEntry], definitions: QuerySet[Definition], run: Run) -> Done:
    """The ledger goes cue by cue, for it has no index by time: each firing would pay for that one.

    A batch of cues comes again until nothing over is left of it.
    """
    cues = _cues_after(run.position or "")
    removed = {
        ENTRIES: _attempt(partial(_delete, entries.filter(cue__in=cues))),
        DEFINITIONS: _attempt(partial(_delete, definitions.filter(cue__in=cues))),
    }
    if max(removed.values()) < ROWS_MAX:
        run.position = cues[-1] if len(cues) == CUES_MAX else None
    return Done(removed, more=run.position is not None)


def _cues_after(position: str) -> list[str]:
    return list(Cue.objects.filter(pk__gt=position).order_by("pk").values_list("pk", flat=True)[:CUES_MAX])


# --- One step ---------------------------------------------------------------------------------------------------


def _attempt(step: Callable[[], int]) -> int:
    """Carry the step out in a transaction of its own. 0 when somebody else would not let go of a row it needs."""
    try:
        with taking_turns(), transaction.atomic():
            _wait_for_nobody()
            return step()
    except OperationalError as error:
        log.info("retention.step_put_off", extra={"error": str(error).partition("\n")[0]})
        return 0


def _wait_for_nobody() -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = {LOCK_WAIT_MS}")


def _take(rows: QuerySet[Any], at_most: int) -> list[Any]:
    """The keys of the first of these rows that nobody else holds, locked."""
    return list(rows.select_for_update(skip_locked=True).values_list("pk", flat=True)[:at_most])


def _delete(rows: QuerySet[Any]) -> int:
    """Rows that nothing hangs on."""
    keys = _take(rows, ROWS_MAX)
    if keys:
        _drop(rows.model._base_manager.filter(pk__in=keys))
    return len(keys)


def _drop(rows: QuerySet[Any]) -> None:
    """DELETE and no more: Django's own delete would first read every row, and all that hangs on it."""
    rows._raw_delete(rows.db)


def _blank(rows: QuerySet[Execution], *, now: datetime) -> int:
    """Remove what the receivers of these executions answered; status, times and messages stay."""
    keys = _take(rows, EXECUTIONS_MAX)
    if keys:
        Attempt.objects.filter(execution__in=keys).update(response_body="", response_headers={})
        Execution.objects.filter(pk__in=keys).update(response_body=None, bodies_removed_at=now)
    return len(keys)


def _delete_executions(rows: QuerySet[Execution]) -> int:
    """With all that tells of them alone; alerts, replays and chained executions only forget which one it was."""
    keys = _take(rows, EXECUTIONS_MAX)
    if not keys:
        return 0
    Alert.objects.filter(execution__in=keys).update(execution=None)
    Execution.objects.filter(replayed_from__in=keys).update(replayed_from=None)
    Execution.objects.filter(chain_parent__in=keys).update(chain_parent=None)
    for child in (Notification, Attempt, Step):
        _drop(child._base_manager.filter(execution__in=keys))
    _drop(Execution._base_manager.filter(pk__in=keys))
    return len(keys)


def _delete_alerts(rows: QuerySet[Alert]) -> int:
    keys = _take(rows, ROWS_MAX)
    if keys:
        _drop(Notification._base_manager.filter(alert__in=keys))
        _drop(Alert._base_manager.filter(pk__in=keys))
    return len(keys)


# --- Pace -------------------------------------------------------------------------------------------------------


class Pace:
    """Says whether to go on, and rests after each step for as long as it took: half of the time is the others'."""

    def __init__(self, seconds: float | None = None) -> None:
        """`seconds` is for how long to go on; None: until all is done."""
        self._step_began_s = time.monotonic()
        self._stop_at_s = None if seconds is None else self._step_began_s + seconds

    def __call__(self) -> bool:
        time.sleep(min(time.monotonic() - self._step_began_s, REST_MAX_S))
        self._step_began_s = time.monotonic()
        return self._stop_at_s is None or self._step_began_s < self._stop_at_s
