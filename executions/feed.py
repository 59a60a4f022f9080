"""What changed among an account's executions since a position: the truth behind the stream of events.

A row's `updated_at` is the time at which its change began, and its commit comes later, so the newest changes may still
be joined by others that began before them. A position therefore has two parts: a place up to which all is settled, and
marks of what was sent beyond it. With both, a stream that goes on elsewhere neither loses nor repeats a change, as long
as no change takes longer than SETTLED_AFTER to commit.
"""

import base64
import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q

from cueapi.models import Account
from executions.models import Execution

SETTLED_AFTER = timedelta(seconds=5)
MARKS_MAX = 48  # of changes sent before they are settled; what comes beyond waits until it is
PAGE = 200
COLUMNS: tuple[str, ...] = (
    "account_id",
    "cue_id",
    "scheduled_for",
    "status",
    "triggered_by",
    "attempts",
    "http_status",
    "due_at",
)
COLUMNS += ("error_message", "error_class", "claimed_by_worker", "outcome_state", "outcome_success")
COLUMNS += ("created_at", "updated_at", "closed_at")
POSITION = re.compile(rf"(\d{{1,17}})-([0-9a-f]{{32}})((?:\.[A-Za-z0-9_-]{{8}}){{0,{MARKS_MAX}}})")
FIRST_ID, LAST_ID = UUID(int=0), UUID(int=2**128 - 1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class Unreadable(ValueError):
    """No position of ours."""


@dataclass(frozen=True)
class Position:
    """Every change up to `at` and, of those of that instant, up to `pk` was sent; beyond it those in `marks`."""

    at: datetime
    pk: UUID = FIRST_ID
    marks: frozenset[str] = frozenset()

    @property
    def place(self) -> tuple[datetime, UUID]:
        return self.at, self.pk

    def __str__(self) -> str:
        return f"{(self.at - EPOCH) // MICROSECOND}-{self.pk.hex}" + "".join(f".{mark}" for mark in sorted(self.marks))

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Raises Unreadable."""
        found = POSITION.fullmatch(text)
        if found is None:
            raise Unreadable(text)
        try:
            at = EPOCH + int(found[1]) * MICROSECOND
        except OverflowError:
            raise Unreadable(text) from None
        return cls(at, UUID(found[2]), frozenset(found[3].split(".")[1:]))


@dataclass(frozen=True)
class Wanted:
    """Which executions; None leaves a filter out."""

    cue_id: str | None = None
    statuses: Collection[str] | None = None

    @property
    def as_query(self) -> Q:
        columns = {"cue": self.cue_id, "status__in": self.statuses}
        return Q(**{name: value for name, value in columns.items() if value is not None})


@dataclass(frozen=True)
class Change:
    """An execution as it is now, and the position once this was sent."""

    execution: Execution
    position: Position


@dataclass(frozen=True)
class Look:
    changes: Sequence[Change]
    position: Position  # after all of them
    has_more: bool  # to be looked for at once


def look(account: Account, wanted: Wanted, position: Position, *, now: datetime) -> Look:
    """The changes after the position, oldest first. One query, by an index, of PAGE rows at most."""
    rows = _after(account, wanted, position)
    settled_by = now - SETTLED_AFTER
    changes: list[Change] = []
    seen: set[str] = set()
    for row in rows:
        mark = mark_of(row)
        is_new, is_settled = mark not in position.marks, row.updated_at <= settled_by
        if not is_settled and is_new and len(position.marks) >= MARKS_MAX:
            break
        position = _past(position, row, mark, is_settled=is_settled)
        seen.add(mark)
        if is_new:
            changes.append(Change(row, position))
    is_page = len(rows) == PAGE
    return Look(changes, position if is_page else _tidy(position, seen, settled_by), is_page and bool(changes))


def _after(account: Account, wanted: Wanted, position: Position) -> list[Execution]:
    later = Q(updated_at__gte=position.at) & (Q(updated_at__gt=position.at) | Q(pk__gt=position.pk))
    rows: Any = Execution.objects.of(account).filter(later, wanted.as_query).only(*COLUMNS)
    return list(rows.order_by("updated_at", "pk")[:PAGE])


def _past(position: Position, row: Execution, mark: str, *, is_settled: bool) -> Position:
    if is_settled:
        return Position(row.updated_at, row.pk, position.marks - {mark})
    return replace(position, marks=position.marks | {mark})


def _tidy(position: Position, seen: Collection[str], settled_by: datetime) -> Position:
    """All was looked at: what is settled is behind us, and marks of what has changed since say nothing."""
    at, pk = max(position.place, (settled_by, LAST_ID))
    return Position(at, pk, position.marks & frozenset(seen))


def mark_of(row: Execution) -> str:
    """Names one change of one execution."""
    digest = hashlib.blake2b(f"{row.pk.hex}{row.updated_at.timestamp():.6f}".encode(), digest_size=6).digest()
    return base64.urlsafe_b64encode(digest).decode()
