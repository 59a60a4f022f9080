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
REACH = 50_000  # rows of an index that a search for few of them looks at


class Unreadable(ValueError):
    """No position of ours."""


@dataclass(frozen=True)
class Sheet:
    """Some rows, newest first, and the positions on both sides of them; None where there is nothing more.

    `looked_until` is set where the search was given up before the sheet was full: the positions lead on from there.
    """

    rows: Sequence[Any]
    newer: str | None = None
    older: str | None = None
    looked_until: datetime | None = None


def sheet(
    rows: "QuerySet[Any]",
    *,
    by: str,
    position: str = "",
    size: int,
    within: "QuerySet[Any] | None" = None,
    reach: int = REACH,
) -> Sheet:
    """The `size` rows at a position, the newest without one. `by` is a time that rows have. Raises Unreadable.

    Where few rows may match, `within` is what they are searched in, by an index: `reach` rows of it, and no more.
    """
    backwards = position.startswith("newer")
    beside = _beside(rows.model._meta.pk, by, position) if position else Q()
    order = (by, "pk") if backwards else (f"-{by}", "-pk")
    edge = None if within is None else _edge(within.filter(beside).order_by(*order), by, reach)
    near = _as_far_as(edge, by, backwards=backwards) if edge else Q()
    found = list(rows.filter(beside & near).order_by(*order)[: size + 1])
    has_more, found = len(found) > size, found[:size]
    if edge and not has_more:
        return _cut(found, edge, by, backwards=backwards, is_first=not position)
    if backwards:
        found.reverse()
    if not found:
        return Sheet(())
    newer = _name("newer", found[0], by) if (has_more if backwards else position) else None
    older = _name("older", found[-1], by) if (backwards or has_more) else None
    return Sheet(found, newer, older)


def _edge(searched: "QuerySet[Any]", by: str, reach: int) -> Any | None:
    """The last row that is looked at; None where there are no more than that."""
    last = list(searched.select_related(None).only("pk", by)[reach - 1 : reach + 1])
    return last[0] if len(last) > 1 else None


def _as_far_as(edge: Any, by: str, *, backwards: bool) -> Q:
    verb, at = "lt" if backwards else "gt", getattr(edge, by)
    return Q(**{f"{by}__{verb}e": at}) & (Q(**{f"{by}__{verb}": at}) | Q(**{f"pk__{verb}e": edge.pk}))


def _cut(found: list[Any], edge: Any, by: str, *, backwards: bool, is_first: bool) -> Sheet:
    """What was found up to the edge; the search goes on beyond it."""
    if backwards:
        found.reverse()
        return Sheet(found, _name("newer", edge, by), _name("older", (found or [edge])[-1], by), getattr(edge, by))
    newer = None if is_first else _name("newer", (found or [edge])[0], by)
    return Sheet(found, newer, _name("older", edge, by), getattr(edge, by))


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
