"""cues.zones: names of zones, and what local times and timestamps mean in them."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cueapi.errors import InvalidSchedule, InvalidTimezone
from cues.zones import local_instant, parse_at, zone
from tests.support.schedules import UTC_ZONE, at, quick


@pytest.mark.parametrize("name", ["UTC", "Europe/Paris", "America/Argentina/Ushuaia", "Asia/Kathmandu"])
def test_an_iana_name_is_a_zone(name: str) -> None:
    assert zone(name).key == name


@pytest.mark.parametrize(
    "name",
    ["", " ", "../etc/passwd", "/etc/localtime", "localtime", "America", "America/", "europe/paris", "UTC ",
     "UTC\x00", "x" * 1000, "Mars/Olympus", "+02:00", "\ud800", "tzdata.zi", "zone.tab", "."],
)  # fmt: skip
def test_any_other_name_is_an_invalid_timezone(name: str) -> None:
    with pytest.raises(InvalidTimezone) as refusal:
        zone(name)
    assert len(refusal.value.message.encode()) < 500


def test_a_misspelt_zone_gets_a_suggestion() -> None:
    with pytest.raises(InvalidTimezone, match="Try America/New_York"):
        zone("america/new york")


@pytest.mark.parametrize(
    ("zone_name", "local", "expected"),
    [
        ("Europe/Paris", "2031-05-04T09:00", "2031-05-04T07:00"),
        ("America/New_York", "2025-03-09T02:30", "2025-03-09T07:00"),
        ("America/New_York", "2025-03-09T03:00", "2025-03-09T07:00"),
        ("America/New_York", "2025-11-02T01:30", "2025-11-02T05:30"),
        ("Australia/Lord_Howe", "2025-10-05T02:29:59.5", "2025-10-04T15:30"),
        ("Pacific/Apia", "2011-12-30T00:00", "2011-12-30T10:00"),
        ("Pacific/Apia", "2011-12-30T23:59", "2011-12-30T10:00"),
    ],
)
def test_a_local_time_is_one_instant(zone_name: str, local: str, expected: str) -> None:
    naive = datetime.fromisoformat(local)
    assert local_instant(naive, ZoneInfo(zone_name)) == at(expected)
    assert local_instant(naive.replace(fold=1), ZoneInfo(zone_name)) == at(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2031-05-04T09:00:00Z", "2031-05-04T09:00"),
        ("2031-05-04t09:00:00z", "2031-05-04T09:00"),
        (" 2031-05-04 09:00:00+02:00 ", "2031-05-04T07:00"),
        ("2031-05-04T09:00:00-0330", "2031-05-04T12:30"),
        ("2031-05-04T09:00:00", "2031-05-04T07:00"),
        ("2031-05-04T09:00", "2031-05-04T07:00"),
        ("20310504T090000Z", "2031-05-04T09:00"),
        ("2031-05-04T09:00:00.123456789Z", "2031-05-04T09:00:00.123456"),
        ("2031-03-30T02:30", "2031-03-30T01:00"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00"),
        ("9000-12-31T23:59:59Z", "9000-12-31T23:59:59"),
    ],
)
def test_a_timestamp_is_read_in_the_zone_unless_it_has_an_offset(text: str, expected: str) -> None:
    parsed = parse_at(text, ZoneInfo("Europe/Paris"))
    assert parsed == at(expected)
    assert parsed.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    ["", "tomorrow", "2031-05-04", "20310504", "2031-W18-1", "2031-W18-1T09:00", "2031-05-04T", "1777000000",
     "2031-02-30T09:00:00Z", "2031-05-04T25:00:00Z", "2031-05-04T09:00:60Z", "2031-05-04T09:00:00+25:00",
     "2031-05-04T09:00:00Z\x00", "2031-05-04T09:00:00 Europe/Paris", "٢٠٣١-05-04T09:00:00Z", "\ud800",
     "1969-12-31T23:59:59Z", "1970-01-01T00:00:00+14:00", "9001-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59",
     "0001-01-01T00:00:00+23:59", "0001-01-01T00:00:00", "9999-12-31T23:59:59", "0000-01-01T00:00:00Z",
     "9000-12-31T23:59:59-01:00", "2031-05-04T09" * 1000],
)  # fmt: skip
def test_any_other_timestamp_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidSchedule, match="For example '2031-05-04T09:00:00Z'") as refusal:
        parse_at(text, ZoneInfo("America/New_York"))
    assert len(refusal.value.message.encode()) < 500


@quick
@given(st.text(max_size=120))
def test_no_text_whatever_raises_anything_but_our_errors(text: str) -> None:
    for read in (zone, lambda value: parse_at(value, UTC_ZONE)):
        try:
            read(text)
        except (InvalidSchedule, InvalidTimezone) as refusal:
            refusal.message.encode()
