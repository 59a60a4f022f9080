"""A schedule in plain English. Pure."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from itertools import groupby

from cues.cron import Cron, Rule, rule_of
from cues.rhythm import CronRhythm, Interval
from cues.timetable import Timetable

MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
TIMES_NAMED_MAX = 6  # more times of day than these are told by minutes and hours
ALL_MINUTES, ALL_HOURS = tuple(range(60)), tuple(range(24))
ALL_DAYS, ALL_MONTHS, ALL_WEEKDAYS = set(range(1, 32)), set(range(1, 13)), set(range(7))
UNITS = (("week", 604_800), ("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))


def describe(timetable: Timetable) -> str:
    """One sentence for the whole timetable, such as “At 09:00, Monday to Friday, in Europe/Berlin”."""
    parts = [_rhythm(timetable)]
    if timetable.starts_at:
        parts.append(f"from {_instant(timetable.starts_at)} on")
    if timetable.ends_at:
        parts.append(f"until {_instant(timetable.ends_at)}")
    if timetable.jitter_s:
        parts.append(f"each up to {duration(timedelta(seconds=timetable.jitter_s))} later")
    return ", ".join(parts)


def describe_cron(cron: Cron) -> str:
    """A cron expression without its zone."""
    rule = rule_of(cron.fields)
    return ", ".join(part for part in (_times(cron, rule), _days(rule), _months(rule)) if part)


def duration(span: timedelta) -> str:
    """`1 hour 30 minutes`."""
    rest, parts = int(span.total_seconds()), []
    for name, size in UNITS:
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {name}{'' if count == 1 else 's'}")
    return " ".join(parts) or "0 seconds"


def _rhythm(timetable: Timetable) -> str:
    rhythm = timetable.rhythm
    if isinstance(rhythm, Interval):
        return f"Every {duration(rhythm.every)}, counted from {_instant(rhythm.anchor)}"
    assert isinstance(rhythm, CronRhythm)  # noqa: S101  there is no third kind
    return f"{describe_cron(rhythm.cron)}, in {rhythm.tz.key}"


def _instant(instant: object) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"


# --- The time of day --------------------------------------------------------------------------------------------


def _times(cron: Cron, rule: Rule) -> str:
    minute, hour = cron.fields[0], cron.fields[1]
    if len(rule.hours) * len(rule.minutes) <= TIMES_NAMED_MAX:
        return "At " + _and(f"{h:02}:{m:02}" for h in rule.hours for m in rule.minutes)
    return f"{_minutes(minute, rule)}{_hours(hour, rule)}"


def _minutes(column: str, rule: Rule) -> str:
    if rule.minutes == ALL_MINUTES:
        return "Every minute"
    if _is_even_step(column, rule.minutes, 60):
        return f"Every {rule.minutes[1]} minutes"
    if rule.minutes == (0,):
        return "On the hour"
    return f"At {_and(_ranges(rule.minutes))} minute{'' if rule.minutes == (1,) else 's'} past the hour"


def _hours(column: str, rule: Rule) -> str:
    if rule.hours == ALL_HOURS:
        return "" if rule.minutes != (0,) else ", every hour"
    if _is_even_step(column, rule.hours, 24):
        return f", every {rule.hours[1]} hours"
    return ", in the hours " + _and(_ranges(rule.hours, two_digits=True))


def _is_even_step(column: str, numbers: Sequence[int], size: int) -> bool:
    """Whether `*/n` cuts the hour or the day into equal parts, so that it can be called an interval."""
    return column.startswith("*/") and len(numbers) > 1 and len(numbers) * numbers[1] == size


# --- The day ----------------------------------------------------------------------------------------------------


def _days(rule: Rule) -> str:
    days = "" if rule.days == ALL_DAYS else f"on day {_and(_ranges(sorted(rule.days)))} of the month"
    weekdays = "" if rule.weekdays == ALL_WEEKDAYS else _weekdays(rule)
    if days and weekdays:
        return f"{days} or on {weekdays}" if rule.either_day else f"{days} if that is {weekdays}"
    return days or weekdays


def _weekdays(rule: Rule) -> str:
    """Monday first, so that Friday to Sunday is a range."""
    ordered = sorted(rule.weekdays, key=lambda day: (day - 1) % 7)
    runs = _runs([(day - 1) % 7 for day in ordered])
    return _and(_span([WEEKDAYS[(day + 1) % 7] for day in run]) for run in runs)


def _months(rule: Rule) -> str:
    if rule.months == ALL_MONTHS:
        return ""
    runs = _runs(sorted(rule.months))
    return "in " + _and(_span([MONTHS[month - 1] for month in run]) for run in runs)


# --- Lists ------------------------------------------------------------------------------------------------------


def _ranges(numbers: Sequence[int], *, two_digits: bool = False) -> list[str]:
    return [_span([f"{n:02}" if two_digits else str(n) for n in run]) for run in _runs(numbers)]


def _runs(numbers: Sequence[int]) -> list[list[int]]:
    """Neighbouring numbers together."""
    grouped = groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0])
    return [[number for _, number in run] for _, run in grouped]


def _span(names: Sequence[str]) -> str:
    """One name, two with “and”, or the first to the last."""
    if len(names) > 2:
        return f"{names[0]} to {names[-1]}"
    return " and ".join(names)


def _and(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
