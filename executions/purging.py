"""Purging: removes what retention says is over, in steps so short that no delivery waits for one.

A step is one transaction over at most so many rows, found by an index; what another process holds is left for the next
time. It may run twice at once and be killed anywhere: a step happens whole or not at all, and the next run finds the
rest.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from django.db import OperationalError, connection, transaction
from django.db.models import Model, QuerySet

from cueapi.turns import taking_turns
from cues.models import Cue
from executions import retention
from executions.models import Alert, Attempt, Destination, Execution, Notification, Step
from executions.retention import ALERTS, AUDITED, BODIES, DEFINITIONS, DESTINATIONS, ENTRIES, EXECUTIONS, MAILS

log = logging.getLogger(__name__)

EXECUTIONS_MAX = 50  # in one step, each with its few attempts, steps and notifications
ROWS_MAX = 200  # of what has little or nothing below it
WALK_MAX = 500  # cues or destinations that one step looks at
LOCK_ERRORS = ("55P03", "40P01", "SQLITE_BUSY", "SQLITE_LOCKED")
REST_MAX_S = 0.5  # between two steps
LOCK_WAIT_MS = 200  # on PostgreSQL; well under its deadlock_timeout, so that it is never somebody else who gives way


# --- One run ----------------------------------------------------------------------------------------------------


Positions = Mapping[str, str | int | None]
"""For each table that is walked by its key, the last one looked at; None: all are."""


@dataclass
class Run:
    """What one run removed, and where it left off."""

    positions: dict[str, str | int | None]
    is_done: bool = False
    removed: Counter[str] = field(default_factory=Counter)

    def has_walked(self, table: str) -> bool:
        return table in self.positions and self.positions[table] is None


@dataclass(frozen=True)
class Done:
    """What one step removed, and whether another may find more."""

    removed: Mapping[str, int]
    more: bool


def purge(*, now: datetime, positions: Positions | None = None, go_on: Callable[[], bool] = lambda: True) -> Run:
    """Remove what is over at `now`, a step of each kind in turn, until nothing is left or `go_on` says no after a step.

    A round is always finished, so that each kind comes on however little time there is.
    """
    limits = retention.ends(now=now)
    retention.note(limits)
    run = Run(dict(positions or {}))
    turns, going = list(_work(retention.over(limits), run, now=now)), True
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


def _work(rows: Mapping[str, QuerySet[Any]], run: Run, *, now: datetime) -> Iterator[Callable[[], Done]]:
    """The steps to be repeated as long as there is more for them."""
    if BODIES in rows:
        yield partial(_some, BODIES, partial(_blank, rows[BODIES], now=now), EXECUTIONS_MAX)
    if EXECUTIONS in rows:
        for bodiless in (True, False):  # each has an index of its own
            ended = rows[EXECUTIONS].filter(bodies_removed_at__isnull=not bodiless)
            yield partial(_some, EXECUTIONS, partial(_delete_executions, ended), EXECUTIONS_MAX)
        yield partial(_walk, Destination, 0, {DESTINATIONS: (rows[DESTINATIONS], "pk")}, run)
    if ENTRIES in rows:
        of_cues = {name: (rows[name], "cue") for name in (ENTRIES, DEFINITIONS)}
        yield partial(_walk, Cue, "", of_cues, run)
    if ALERTS in rows:
        yield partial(_some, ALERTS, partial(_delete_alerts, rows[ALERTS]), ROWS_MAX)
        yield partial(_some, MAILS, partial(_delete, rows[MAILS]), ROWS_MAX)
    if AUDITED in rows:
        yield partial(_some, AUDITED, partial(_delete, rows[AUDITED]), ROWS_MAX)


def _some(name: str, act: Callable[[], int], at_most: int) -> Done:
    """There is more where as much was found as could be taken; else the rest is held by others, or not over yet."""
    count = _attempt(act)
    return Done({name: count}, more=count == at_most)


def _walk(table: type[Model], start: str | int, belongings: Mapping[str, tuple[QuerySet[Any], str]], run: Run) -> Done:
    """Look at the next rows of a table, and remove what is over of what belongs to them.

    For what has no index by time, because each firing or each delivery would pay for that one. The same rows come
    again until nothing over is left of them.
    """
    name = table._meta.model_name or ""
    if run.has_walked(name):
        return Done({}, more=False)
    keys = _keys_after(table, run.positions.get(name, start))
    removed = {
        what: _attempt(partial(_delete, rows.filter(**{f"{link}__in": keys})))
        for what, (rows, link) in belongings.items()
    }
    if max(removed.values()) < ROWS_MAX:
        run.positions[name] = keys[-1] if len(keys) == WALK_MAX else None
    return Done(removed, more=not run.has_walked(name))


def _keys_after(table: type[Model], position: str | int | None) -> list[Any]:
    after = table._default_manager.filter(pk__gt=position).order_by("pk")
    return list(after.values_list("pk", flat=True)[:WALK_MAX])


# --- One step ---------------------------------------------------------------------------------------------------


def _attempt(step: Callable[[], int]) -> int:
    """Carry the step out in a transaction of its own. 0 when somebody else would not let go of a row it needs."""
    try:
        with taking_turns(), transaction.atomic():
            _wait_for_nobody()
            return step()
    except OperationalError as error:
        if not _is_for_a_lock(error):
            raise
        log.info("retention.step_put_off", extra={"error": str(error).partition("\n")[0]})
        return 0


def _is_for_a_lock(error: OperationalError) -> bool:
    """By PostgreSQL's code or SQLite's: a database that is full or gone is no reason to try again in an hour."""
    cause = error.__cause__
    names = getattr(cause, "sqlstate", None), getattr(cause, "sqlite_errorname", None)
    return any((name or "").startswith(LOCK_ERRORS) for name in names)


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
