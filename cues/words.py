"""A schedule in plain English. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby, pairwise

from cues.cron import Cron, Rule, rule_of
from cues.rhythm import CronRhythm, Interval, Rhythm
from cues.timetable import Timetable

MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
TIMES_NAMED_MAX = 6  # more times of day than these are told by minutes and hours
SERIES_MIN = 5  # as many numbers at equal distances are told as a series
ALL_MINUTES, ALL_HOURS = tuple(range(60)), tuple(range(24))
ALL_DAYS, ALL_MONTHS, ALL_WEEKDAYS = set(range(1, 32)), set(range(1, 13)), set(range(7))
CHOICES = {
    "skip": "not at a time that a clock change leaves out",
    "both": "both times at a time that a clock change repeats",
}
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
    return ", ".join([*parts, *_choice(timetable.rhythm)])


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


def _instant(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S}".removesuffix(":00") + " UTC"


def _choice(rhythm: Rhythm) -> Iterator[str]:
    """What was chosen for clock changes, where that makes a difference."""
    if isinstance(rhythm, CronRhythm) and not rhythm.rule.follows_elapsed_time and rhythm.dst in CHOICES:
        yield CHOICES[rhythm.dst]


# --- The time of day --------------------------------------------------------------------------------------------


def _times(cron: Cron, rule: Rule) -> str:
    minute, hour = cron.fields[0], cron.fields[1]
    if len(rule.hours) * len(rule.minutes) <= TIMES_NAMED_MAX:
        return "At " + _joined(f"{h:02}:{m:02}" for h in rule.hours for m in rule.minutes)
    if len(rule.minutes) == 1 and _is_even_step(hour, rule.hours, 24):
        return f"Every {rule.hours[1]} hours from 00:{rule.minutes[0]:02}"
    return _minutes(minute, rule) + _hours(rule)


def _minutes(column: str, rule: Rule) -> str:
    if rule.minutes == ALL_MINUTES:
        return "Every minute"
    if _is_even_step(column, rule.minutes, 60):
        return f"Every {rule.minutes[1]} minutes"
    if rule.minutes == (0,):
        return "On the hour"
    if _step(rule.minutes):
        return (
            f"Every {_ordinal(_step(rule.minutes))} minute from {rule.minutes[0]} to {rule.minutes[-1]} past the hour"
        )
    return f"At {_joined(_ranges(rule.minutes))} minute{'' if rule.minutes == (1,) else 's'} past the hour"


def _hours(rule: Rule) -> str:
    if rule.hours == ALL_HOURS:
        return "" if rule.minutes != (0,) else ", every hour"
    if _step(rule.hours):
        return f", in every {_ordinal(_step(rule.hours))} hour from {rule.hours[0]:02} to {rule.hours[-1]:02}"
    return f", in the hour{'' if len(rule.hours) == 1 else 's'} " + _joined(_ranges(rule.hours, two_digits=True))


def _is_even_step(column: str, numbers: Sequence[int], size: int) -> bool:
    """Whether `*/n` cuts the hour or the day into equal parts, so that it can be called an interval."""
    return column.startswith("*/") and len(numbers) > 1 and len(numbers) * numbers[1] == size


# --- The day ----------------------------------------------------------------------------------------------------


def _days(rule: Rule) -> str:
    every_day, every_weekday = rule.days == ALL_DAYS, rule.weekdays == ALL_WEEKDAYS
    if every_day and every_weekday:
        return ""
    if rule.either_day and (every_day or every_weekday):
        return "every day"  # `1-31` or `0-6`, which the other field cannot narrow
    if every_day:
        return _weekdays(rule, "and")
    days = _month_days(sorted(rule.days))
    if every_weekday:
        return days
    if rule.either_day:
        return f"{days} or on {_weekdays(rule, 'and')}"
    return f"{days} if that is {_weekdays(rule, 'or')}"


def _month_days(days: Sequence[int]) -> str:
    if _step(days):
        return f"on every {_ordinal(_step(days))} day of the month from {days[0]} to {days[-1]}"
    return f"on day{'' if len(days) == 1 else 's'} {_joined(_ranges(days))} of the month"


def _weekdays(rule: Rule, conjunction: str) -> str:
    """Monday first, so that Friday to Sunday is a range."""
    ordered = sorted((day - 1) % 7 for day in rule.weekdays)
    names = [name for run in _runs(ordered) for name in _span([WEEKDAYS[(day + 1) % 7] for day in run])]
    return _joined(names, conjunction)


def _months(rule: Rule) -> str:
    if rule.months == ALL_MONTHS:
        return ""
    runs = _runs(sorted(rule.months))
    return "in " + _joined(name for run in runs for name in _span([MONTHS[month - 1] for month in run]))


# --- Lists ------------------------------------------------------------------------------------------------------


def _ranges(numbers: Sequence[int], *, two_digits: bool = False) -> list[str]:
    spelled = [[f"{n:02}" if two_digits else str(n) for n in run] for run in _runs(numbers)]
    return [name for run in spelled for name in _span(run)]


def _runs(numbers: Sequence[int]) -> list[list[int]]:
    """Neighbouring numbers together."""
    grouped = groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0])
    return [[number for _, number in run] for _, run in grouped]


def _step(numbers: Sequence[int]) -> int:
    """The distance, over one, that is the same between all of a long list of numbers; else 0."""
    steps = {later - earlier for earlier, later in pairwise(numbers)}
    return steps.pop() if len(numbers) >= SERIES_MIN and len(steps) == 1 and steps != {1} else 0


def _ordinal(number: int) -> str:
    ending = "th" if 10 < number % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _span(names: Sequence[str]) -> list[str]:
    """Up to two names as they are, more as the first to the last."""
    return [f"{names[0]} to {names[-1]}"] if len(names) > 2 else list(names)


def _joined(names: Iterable[str], conjunction: str = "and") -> str:
    *first, last = names
    return f"{', '.join(first)} {conjunction} {last}" if first else last
