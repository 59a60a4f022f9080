"""Paging by position: through rows ordered by a time and an id, newest first, each page costing the same.

A position names the row that it lies beside, so rows that appear meanwhile neither repeat nor hide others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Field, Q, QuerySet

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class Unreadable(ValueError):
    """No position of ours."""


@dataclass(frozen=True)
class Sheet:
    """Some rows, newest first, and the positions on both sides of them; None where there is nothing more."""

    rows: Sequence[Any]
    newer: str | None = None
    older: str | None = None


def sheet(rows: "QuerySet[Any]", *, by: str, position: str = "", size: int) -> Sheet:
    """The `size` rows at a position, the newest without one. `by` is a time that rows have. Raises Unreadable."""
    backwards = position.startswith("newer")
    beside = _beside(rows.model._meta.pk, by, position) if position else Q()
    order = (by, "pk") if backwards else (f"-{by}", "-pk")
    found = list(rows.filter(beside).order_by(*order)[: size + 1])
    has_more, found = len(found) > size, found[:size]
    if backwards:
        found.reverse()
    if not found:
        return Sheet(())
    newer = _name("newer", found[0], by) if (has_more if backwards else position) else None
    older = _name("older", found[-1], by) if (backwards or has_more) else None
    return Sheet(found, newer, older)


def _name(side: str, row: Any, by: str) -> str:
    return f"{side}.{(getattr(row, by) - EPOCH) // MICROSECOND}.{row.pk}"


def _beside(key: "Field[Any, Any]", by: str, position: str) -> Q:
    side, _, rest = position.partition(".")
    micros, _, pk = rest.partition(".")
    verb = {"newer": "gt", "older": "lt"}.get(side)
    try:
        at, value = EPOCH + int(micros) * MICROSECOND, key.to_python(pk.replace("\x00", ""))
    except (ValueError, OverflowError, ValidationError):
        raise Unreadable(position) from None
    if verb is None or not pk or not _fits(value):
        raise Unreadable(position)
    return Q(**{f"{by}__{verb}e": at}) & (Q(**{f"{by}__{verb}": at}) | Q(**{f"pk__{verb}": value}))


def _fits(value: Any) -> bool:
    return not isinstance(value, int) or abs(value) < 2**63
