"""Reading cron expressions: five fields as crontab(5) has them, checked strictly, or a macro (contract 3.3).

Our own reader: croniter takes `0 0 */2 * MON` as OR where cron has AND, and accepts extensions and backward ranges
that other tools refuse.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from cueapi.errors import InvalidSchedule

EXPRESSION_MAX_LENGTH = 100

_CRON_EXAMPLE = "For example '0 9 * * MON-FRI' runs at 09:00 from Monday to Friday."
_ITEM = re.compile(r"(?:(\*)|([0-9]{1,2}|[A-Za-z]{3})(?:-([0-9]{1,2}|[A-Za-z]{3}))?)(?:/([0-9]{1,3}))?")
_MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_NUMERIC_FIELD_MAX_LENGTH = 64  # the narrowest column that stores a numeric field


@dataclass(frozen=True)
class Cron:
    """A checked expression: `expression` as the user wrote it, `fields` with macros expanded."""

    expression: str
    fields: tuple[str, str, str, str, str]


@dataclass(frozen=True)
class _Field:
    """One of the five columns and the numbers it may hold; `top` is where `*` ends."""

    label: str
    low: int
    top: int
    highest: int
    names: dict[str, int]

    def refuse(self, item: str, why: str) -> InvalidSchedule:
        return InvalidSchedule(f"Cron field '{self.label}': {shown(item)} {why}. {_CRON_EXAMPLE}")

    def number(self, text: str, item: str) -> int:
        value = int(text) if text.isdigit() else self.names.get(text.upper())
        if value is None:
            known = f"; names here are {', '.join(self.names)}" if self.names else ", which takes no names"
            raise self.refuse(item, f"has a name that is not known in this field{known}")
        if not self.low <= value <= self.highest:
            raise self.refuse(item, f"is outside {self.low} to {self.highest}")
        return value


_FIELDS = (
    _Field("minute", 0, 59, 59, {}),
    _Field("hour", 0, 23, 23, {}),
    _Field("day of month", 1, 31, 31, {}),
    _Field("month", 1, 12, 12, {name: number for number, name in enumerate(_MONTHS, start=1)}),
    _Field("day of week", 0, 6, 7, {name: number for number, name in enumerate(_WEEKDAYS)}),
)


@dataclass(frozen=True)
class _Item:
    """One member of a comma list: from `first` to `last`, every `step`."""

    first: int
    last: int
    step: int
    starred: bool

    @property
    def values(self) -> range:
        return range(self.first, self.last + 1, self.step)


@dataclass(frozen=True)
class Rule:
    """An expression as sorted numbers, Sunday as 0."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool  # both day fields restricted: cron runs when one of them matches
    follows_elapsed_time: bool  # wildcard or step in the hour: not a job with a fixed hour

    def runs_on(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        matches = (day.day in self.days, day.isoweekday() % 7 in self.weekdays)
        return any(matches) if self.either_day else all(matches)


def parse_cron(expression: str) -> Cron:
    """The checked expression; raises InvalidSchedule saying what is wrong and where (contract 3.3)."""
    text = expression.strip()
    if len(text) > EXPRESSION_MAX_LENGTH:
        raise refused(f"it has {len(text)} characters, at most {EXPRESSION_MAX_LENGTH} are allowed")
    fields = _split(text)
    rule_of(fields)
    return Cron(expression=text, fields=fields)


def _split(text: str) -> tuple[str, str, str, str, str]:
    if text.startswith("@"):
        text = _expand_macro(text)
    fields = text.split()
    if len(fields) == 6:
        raise refused(f"{shown(text)} has six fields, and a field for seconds or years is not supported")
    if len(fields) != 5:
        names = ", ".join(field.label for field in _FIELDS)
        raise refused(f"{shown(text)} has {len(fields)} field(s), not the five it needs ({names})")
    minute, hour, day, month, weekday = fields
    return minute, hour, day, month, weekday


def _expand_macro(text: str) -> str:
    expanded = _MACROS.get(text.lower())
    if expanded is None:
        raise refused(f"the macro {shown(text)} is not one of {', '.join(_MACROS)}")
    return expanded


def refused(why: str) -> InvalidSchedule:
    return InvalidSchedule(f"Cron expression: {why}. {_CRON_EXAMPLE}")


def shown(text: str) -> str:
    """The text quoted for a message: short, and without raw control characters."""
    return repr(text if len(text) <= 60 else f"{text[:60]}…")


def _items(field: _Field, text: str) -> list[_Item]:
    return [_read_item(field, item) for item in text.split(",")]


def _read_item(field: _Field, text: str) -> _Item:
    match = _ITEM.fullmatch(text)
    if match is None:
        raise field.refuse(text, "is not *, a number, a name, a range such as 1-5 or a step such as */15")
    star, first, last, step_text = match.groups()
    step = int(step_text or 1)
    if step == 0:
        raise field.refuse(text, "has a step of 0; the least is 1")
    if star:
        return _Item(field.low, field.top, step, starred=True)
    start = field.number(first, text)
    end = _range_end(field, start, last, text) if last else _open_end(field, start, step_text)
    return _Item(start, end, step, starred=False)


def _open_end(field: _Field, start: int, step_text: str | None) -> int:
    """`5` is 5 alone; `5/15` goes on to the end of the field, for weekdays to 7, which is Sunday again."""
    return field.highest if step_text else start


def _range_end(field: _Field, start: int, last: str, item: str) -> int:
    end = 7 if last.upper() == "SUN" and start > 0 and field.highest == 7 else field.number(last, item)
    if end < start:
        split = f"{start}-{max(start, field.top)},{field.low}-{end}"
        raise field.refuse(item, f"is a range that runs backwards; write {split}")
    return end


@lru_cache(maxsize=4096)
def rule_of(fields: tuple[str, str, str, str, str]) -> Rule:
    columns = [_items(field, text) for field, text in zip(_FIELDS, fields, strict=True)]
    minutes, hours, days, months, weekdays = (_numbers(column) for column in columns)
    return Rule(
        minutes=tuple(sorted(minutes)),
        hours=tuple(sorted(hours)),
        days=days,
        months=months,
        weekdays=frozenset(weekday % 7 for weekday in weekdays),
        either_day=not fields[2].startswith("*") and not fields[4].startswith("*"),
        follows_elapsed_time="*" in fields[1] or "/" in fields[1],
    )


def _numbers(items: Iterable[_Item]) -> frozenset[int]:
    return frozenset(value for item in items for value in item.values)


def to_numeric_fields(cron: Cron) -> tuple[str, ...]:
    """The five fields without names, Sunday as 0, spelled so that Celery's crontab reads them.

    For display and for the admin only: Celery joins the two day fields otherwise than cron does.
    """
    return tuple(_numeric(field, text) for field, text in zip(_FIELDS, cron.fields, strict=True))


def _numeric(field: _Field, text: str) -> str:
    items = _items(field, text)
    spelled = ",".join(_spell(field, item) for item in items)
    if len(spelled) <= _NUMERIC_FIELD_MAX_LENGTH:
        return spelled
    return _listed(sorted({value % 7 if field.highest == 7 else value for value in _numbers(items)}))


def _spell(field: _Field, item: _Item) -> str:
    step = f"/{item.step}" if item.step > 1 else ""
    if item.starred:
        return f"*{step}"
    if field.highest == 7 and item.last == 7:
        return _listed(value % 7 for value in item.values)
    return f"{item.first}-{item.last}{step}" if item.last > item.first else str(item.first)


def _listed(values: Iterable[int]) -> str:
    return ",".join(str(value) for value in values)
