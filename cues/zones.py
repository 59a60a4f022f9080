"""Time zones, and what a local time means in them: every IANA zone, every gap and every repeated hour. Pure."""

import difflib
import re
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from cueapi.errors import InvalidSchedule, InvalidTimezone, ValidationFailed
from cues.cron import shown

_AT_EXAMPLE = "For example '2031-05-04T09:00:00Z' or '2031-05-04T09:00:00+02:00'."
_AT_SHAPE = re.compile(
    r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}"
    r"[T ][0-9]{2}:?[0-9]{2}(:?[0-9]{2}([.,][0-9]{1,9})?)?"
    r"(Z|[+-][0-9]{2}(:?[0-9]{2})?)?"
)
_AT_YEARS = range(1970, 9001)
_SECOND = timedelta(seconds=1)


def zone(name: str) -> ZoneInfo:
    """The IANA zone of that exact name; raises InvalidTimezone for anything else."""
    if name in _zone_names():
        return ZoneInfo(name)
    raise InvalidTimezone(f"The time zone {shown(name)} is not an IANA name. Try {_nearest_zone(name)}, or UTC.")


@cache
def _zone_names() -> frozenset[str]:
    return frozenset(available_timezones()) - {"localtime"}  # a file on some machines: the machine's own zone


def _nearest_zone(name: str) -> str:
    by_lower = {known.lower(): known for known in sorted(_zone_names())}
    near = difflib.get_close_matches(name[:40].lower().replace(" ", "_"), by_lower, n=1)
    return by_lower[near[0]] if near else "Europe/Paris"


def local_instant(at: datetime, tz: ZoneInfo) -> datetime:
    """The UTC instant of a naive local time: after a gap if it never was, the first if it was twice."""
    late = at.replace(tzinfo=tz, fold=0).astimezone(UTC)
    if late.astimezone(tz).replace(tzinfo=None) == at:
        return late
    early = at.replace(tzinfo=tz, fold=1).astimezone(UTC)  # in a gap the two folds lie around the change
    return change_between(tz, early, late)


def parse_at(text: str, tz: ZoneInfo) -> datetime:
    """The UTC instant of an ISO 8601 timestamp, read in `tz` if it has no offset; raises InvalidSchedule."""
    tidy = text.strip().upper()
    if not _AT_SHAPE.fullmatch(tidy):
        raise InvalidSchedule(f"The timestamp {shown(text)} is not a date and a time. {_AT_EXAMPLE}")
    try:
        at = datetime.fromisoformat(tidy)
    except ValueError as error:
        raise InvalidSchedule(f"The timestamp {shown(text)} does not exist: {error}. {_AT_EXAMPLE}") from None
    # Before converting, because the first and the last day of the calendar overflow.
    instant = _to_utc(at, tz) if _AT_YEARS[0] - 1 <= at.year <= _AT_YEARS[-1] + 1 else None
    if instant is None or instant.year not in _AT_YEARS:
        raise InvalidSchedule(f"The timestamp {shown(text)} is outside 1970 to 9000. {_AT_EXAMPLE}")
    return instant


def instant_in(text: str, tz: ZoneInfo, *, where: str) -> datetime:
    """The UTC instant of a timestamp in a query or a body, at `where`; raises ValidationFailed.

    In a query a plus that was not escaped arrives as a space.
    """
    try:
        return parse_at(text.replace(" ", "+") if "T" in text else text, tz)
    except InvalidSchedule:
        raise ValidationFailed.of(where, "must be a timestamp such as 2031-05-04T09:00:00Z") from None


def _to_utc(at: datetime, tz: ZoneInfo) -> datetime:
    return at.astimezone(UTC) if at.tzinfo else local_instant(at, tz)


def offset_at(tz: ZoneInfo, instant: datetime) -> timedelta:
    return instant.astimezone(tz).utcoffset() or timedelta(0)


def change_between(tz: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """The instant in (low, high] from which the offset is that of `high`. Zones change on whole seconds."""
    offset = offset_at(tz, high)
    while high - low > _SECOND:
        middle = low + (high - low) / 2
        low, high = (low, middle) if offset_at(tz, middle) == offset else (middle, high)
    return high.replace(microsecond=0)
