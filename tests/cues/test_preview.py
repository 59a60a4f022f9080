"""cues.preview: due times, and in sentences what clock changes do to them."""

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from hypothesis import given

from cues.cron import parse_cron
from cues.preview import preview
from cues.rhythm import CronRhythm, Interval
from cues.timetable import Timetable
from cues.zones import zone
from tests.support.schedules import quick, timetables_near_a_change

NY, SAO_PAULO = "America/New_York", "America/Sao_Paulo"


def sentences(expression: str, start: str, dst: str = "default", timezone: str = NY) -> list[str]:
    tz = zone(timezone)
    table = Timetable(CronRhythm(parse_cron(expression), tz, dst))
    found = preview(table, tz, start=datetime.fromisoformat(start), count=3)
    return [change.sentence for change in found.changes]


@pytest.mark.parametrize(
    ("dst", "ending"),
    [("default", "it runs at 03:00."), ("skip", "it does not run."), ("both", "it runs at 03:00.")],
)
def test_a_lost_time_is_explained(dst: str, ending: str) -> None:
    assert sentences("30 2 * * *", "2027-03-13T12:00Z", dst) == [
        f"02:30 does not exist on 2027-03-14 in {NY}, because clocks go forward from 02:00 to 03:00: {ending}"
    ]


@pytest.mark.parametrize(
    ("dst", "ending"),
    [("default", "runs the first time only."), ("skip", "runs the first time only."), ("both", "runs both times.")],
)
def test_a_repeated_time_is_explained(dst: str, ending: str) -> None:
    assert sentences("30 1 * * *", "2027-11-06T12:00Z", dst) == [
        f"01:30 occurs twice on 2027-11-07 in {NY}, because clocks go back from 02:00 to 01:00: it {ending}"
    ]


def test_a_change_that_touches_nothing_or_elapsed_time_says_so() -> None:
    assert "no due time of this schedule is touched" in sentences("0 9 * * *", "2027-03-13T12:00Z")[0]
    assert "follows elapsed time" in sentences("*/30 * * * *", "2027-03-14T06:00Z")[0]


def test_a_day_that_is_skipped_whole_is_named() -> None:
    (sentence,) = sentences("0 9 * * *", "2011-12-29T12:00Z", timezone="Pacific/Apia")
    assert sentence.startswith("09:00 does not exist on 2011-12-30 in Pacific/Apia")
    assert sentence.endswith("it runs at 2011-12-31 00:00.")


def test_several_lost_times_are_named_together() -> None:
    day = f"on 2027-03-14 in {NY}, because clocks go forward from 02:00 to 03:00"
    assert sentences("0,30 2 * * *", "2027-03-13T12:00Z") == [
        f"02:00 and 02:30 do not exist {day}: they run once, at 03:00."
    ]
    assert sentences("*/10 2 * * *", "2027-03-13T12:00Z", "skip") == [
        f"02:00, 02:10, 02:20 and more do not exist {day}: they do not run."
    ]


@pytest.mark.parametrize(
    ("expression", "start", "ending"),
    [
        ("*/30 * * * *", "2027-03-14T06:00Z", "follows elapsed time and does not run at times left out."),
        ("30 */2 * * *", "2027-03-14T06:00Z", "follows elapsed time and does not run at times left out."),
        ("0 * * * *", "2027-11-07T04:00Z", "follows elapsed time and runs both times."),
    ],
)
def test_elapsed_time_says_what_it_does(expression: str, start: str, ending: str) -> None:
    (sentence,) = sentences(expression, start)
    assert sentence.endswith(ending)


def test_an_interval_says_how_its_local_times_move() -> None:
    table = Timetable(Interval(timedelta(hours=8), datetime.fromisoformat("2027-03-13T12:00Z")))
    (change,) = preview(table, zone(NY), start=datetime.fromisoformat("2027-03-13T12:00Z"), count=5).changes
    assert change.sentence.endswith(
        "an interval follows elapsed time, so its local times are 1 hour later from then on."
    )


@pytest.mark.parametrize(
    ("timezone", "expression", "start", "local", "sentence"),
    [
        (SAO_PAULO, "30 0 * * *", "2018-11-03T12:00Z", "2018-11-04T01:00", "00:30 does not exist on 2018-11-04"),
        (SAO_PAULO, "30 23 * * *", "2018-02-17T12:00Z", "2018-02-17T23:30", "23:30 occurs twice on 2018-02-17"),
        ("Pacific/Apia", "0 9 30 * *", "2011-12-28T12:00Z", "2011-12-31T00:00", "09:00 does not exist on 2011-12-30"),
    ],
)  # fmt: skip
def test_a_change_at_midnight_is_noted_on_the_day_it_touches(
    timezone: str, expression: str, start: str, local: str, sentence: str
) -> None:
    tz = zone(timezone)
    table = Timetable(CronRhythm(parse_cron(expression), tz))
    found = preview(table, tz, start=datetime.fromisoformat(start), count=2)
    assert found.next[0].local.strftime("%Y-%m-%dT%H:%M") == local
    assert (found.next[0].note or "").startswith(sentence)
    assert found.next[1].note is None
    assert all(due.note is None for due in found.previous)


def test_a_due_time_years_away_has_its_note_too() -> None:
    tz = zone(NY)
    table = Timetable(CronRhythm(parse_cron("30 2 11 3 *"), tz))
    due = preview(table, tz, start=datetime.fromisoformat("2027-06-01T00:00Z"), count=9).next[-2]
    assert f"{due.local:%Y-%m-%d %H:%M}" == "2035-03-11 03:00"
    assert (due.note or "").startswith("02:30 does not exist on 2035-03-11")


def test_clock_changes_outside_the_bounds_are_not_told() -> None:
    tz = zone(NY)
    ends_at = datetime.fromisoformat("2027-03-14T06:59Z")
    table = Timetable(CronRhythm(parse_cron("30 2 * * *"), tz), None, ends_at)
    assert preview(table, tz, start=datetime.fromisoformat("2027-03-12T00:00Z"), count=5).changes == ()
    table = Timetable(CronRhythm(parse_cron("30 2 * * *"), tz), None, ends_at + timedelta(minutes=1))
    assert len(preview(table, tz, start=datetime.fromisoformat("2027-03-12T00:00Z"), count=5).changes) == 1


def test_jitter_is_told_apart_from_the_slot() -> None:
    tz = zone(NY)
    table = Timetable(CronRhythm(parse_cron("30 2 * * *"), tz), jitter_s=600, seed="a")
    for due in preview(table, tz, start=datetime.fromisoformat("2027-06-01T00:00Z"), count=20).next:
        assert timedelta(0) <= due.jitter <= timedelta(seconds=600)
        assert f"{due.at - due.jitter:%H:%M:%S}" == "06:30:00"


@quick
@given(timetables_near_a_change())
def test_a_preview_gives_the_due_times_in_order_and_notes_only_on_days_of_a_change(
    drawn: tuple[Timetable, datetime],
) -> None:
    timetable, start = drawn
    tz = timetable.rhythm.tz if isinstance(timetable.rhythm, CronRhythm) else zone(NY)
    found = preview(timetable, tz, start=start, count=8)
    assert [due.at for due in found.next] == list(islice(timetable.onward(start), 8))
    assert [due.at for due in found.previous] == list(islice(timetable.back(start), 8))
    for due in (*found.next, *found.previous):
        assert due.local.astimezone(UTC) == due.at
        offsets = {(due.at + timedelta(hours=hours)).astimezone(tz).utcoffset() for hours in (-50, 50)}
        assert due.note is None or len(offsets) > 1
