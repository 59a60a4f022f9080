"""Rhythms and expressions for tests of schedules: spelled by hand, or drawn near clock changes, where mistakes show."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from cues.cron import parse_cron
from cues.rhythm import CronRhythm, Interval, Rhythm
from cues.timetable import Timetable

UTC_ZONE = ZoneInfo("UTC")
NOON = datetime(2031, 5, 4, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
POLICIES = ("skip_missed", "run_once_if_missed", "replay_all_missed")

quick = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def cron(expression: str, zone: str = "UTC", dst: str = "default") -> CronRhythm:
    return CronRhythm(parse_cron(expression), ZoneInfo(zone), dst)


def table(expression: str, zone: str = "UTC", dst: str = "default") -> Timetable:
    return Timetable(cron(expression, zone, dst))


def dues(expression: str, zone: str, after: str, count: int) -> list[str]:
    """The next `count` due instants after `after`, as UTC text."""
    instant, found = at(after), []
    while len(found) < count:
        due_at = table(expression, zone).next(instant)
        assert due_at is not None
        instant = due_at
        found.append(instant.strftime("%Y-%m-%dT%H:%M"))
    return found


# --- Drawn ------------------------------------------------------------------------------------------------------


def numbers(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    pair = st.tuples(number, number).map(sorted)
    span = pair.map(lambda ends: f"{ends[0]}-{ends[1]}")
    # cronsim reads 3-3/2 as 3/2, which goes on to the end of the field; cron does not.
    proper = pair.filter(lambda ends: ends[0] < ends[1]).map(lambda ends: f"{ends[0]}-{ends[1]}")
    item = number.map(str) | span | st.tuples(proper, st.integers(1, 9).map(str)).map("/".join)
    return st.lists(item, min_size=1, max_size=3).map(",".join)


def column(low: int, high: int) -> st.SearchStrategy[str]:
    return st.just("*") | st.integers(1, high).map(lambda step: f"*/{step}") | numbers(low, high)


EXPRESSIONS = st.tuples(column(0, 59), column(0, 23), column(1, 28), st.just("*") | column(1, 12), column(0, 7)).map(
    " ".join
)
CHANGES = st.sampled_from(
    [
        ("America/New_York", "2025-03-09T07:00"),
        ("America/New_York", "2025-11-02T06:00"),
        ("Australia/Lord_Howe", "2025-04-05T15:00"),
        ("Australia/Lord_Howe", "2025-10-04T15:30"),
        ("Pacific/Apia", "2011-12-30T10:00"),
        ("Africa/Casablanca", "2025-02-23T02:00"),
        ("America/St_Johns", "2006-10-29T02:31"),
        ("America/Sao_Paulo", "2018-11-04T03:00"),
        ("Asia/Kathmandu", "2025-10-04T15:30"),
    ]
)
AFTER_OFFSETS = st.integers(-2 * 86_400, 86_400).map(lambda seconds: timedelta(seconds=seconds))
DSTS = st.sampled_from(["default", "skip", "both"])
# Dense ones, so that their due times can be counted one by one, and near the hours that the changes touch.
DENSE = st.sampled_from(
    ["*/7 * * * *", "30 1,2 * * *", "15 */3 * * 1-5", "0 9 1 * 1", "*/20 0-3 * * *", "0,45 1-23/2 * * *", "5 0 * * *"]
)


@st.composite
def rhythms_near_a_change(draw: st.DrawFn) -> tuple[Rhythm, datetime]:
    """A rhythm, and an instant within two days of a clock change of its zone."""
    zone, change = draw(CHANGES)
    instant = at(change) + draw(AFTER_OFFSETS)
    if draw(st.integers(0, 5)) == 0:
        return Interval(draw(st.integers(1, 5000)) * MINUTE, NOON), instant
    return cron(draw(DENSE | EXPRESSIONS), zone, draw(DSTS)), instant


@st.composite
def timetables_near_a_change(draw: st.DrawFn) -> tuple[Timetable, datetime]:
    """A timetable with or without bounds and jitter, and an instant within two days of a clock change of its zone."""
    rhythm, instant = draw(rhythms_near_a_change())
    bound = st.none() | st.integers(-4 * 86_400, 4 * 86_400).map(lambda seconds: instant + timedelta(seconds=seconds))
    bounds = [draw(bound), draw(bound)]
    if None not in bounds:
        bounds.sort(key=str)
    jitter_s = draw(st.sampled_from([0, 0, 1, 59, 600, 40_000, 86_400]))
    return Timetable(rhythm, bounds[0], bounds[1], jitter_s, draw(st.sampled_from("abc"))), instant
