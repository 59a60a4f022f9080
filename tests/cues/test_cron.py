"""cues.cron: the grammar, what is refused and how, and the fields as Celery reads them."""

from dataclasses import FrozenInstanceError

import pytest
from celery.schedules import crontab
from cronsim import CronSim
from hypothesis import example, given
from hypothesis import strategies as st

from cueapi.errors import InvalidSchedule
from cues.cron import parse_cron, to_numeric_fields
from tests.support.schedules import EXPRESSIONS, at, dues, quick


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("* * * * *", "2031-05-04T09:00", "2031-05-04T09:01"),
        ("*/15 * * * *", "2031-05-04T09:00", "2031-05-04T09:15"),
        ("5/15 * * * *", "2031-05-04T09:20", "2031-05-04T09:35"),
        ("09 09 * * *", "2031-05-04T09:00", "2031-05-04T09:09"),
        ("10-20/5,50 * * * *", "2031-05-04T09:20", "2031-05-04T09:50"),
        ("0 9-17/4 * * *", "2031-05-04T09:00", "2031-05-04T13:00"),
        ("0 9 * * MON-FRI", "2031-05-02T09:00", "2031-05-05T09:00"),
        ("0 9 * * mon,Wed", "2031-05-05T09:00", "2031-05-07T09:00"),
        ("0 9 * jan-MAR *", "2031-05-04T09:00", "2032-01-01T09:00"),
        ("0 9 * * 0", "2031-05-04T09:00", "2031-05-11T09:00"),
        ("0 9 * * 7", "2031-05-04T09:00", "2031-05-11T09:00"),
        ("0 9 * * FRI-SUN", "2031-05-03T09:00", "2031-05-04T09:00"),
        ("0 9 * * 5-7", "2031-05-03T09:00", "2031-05-04T09:00"),
        ("0 9 * * 7/2", "2031-05-04T09:00", "2031-05-11T09:00"),
        ("0 9 * * SUN-TUE", "2031-05-04T09:00", "2031-05-05T09:00"),
        ("0 9 * * sun-sun", "2031-05-04T09:00", "2031-05-11T09:00"),
        ("0 9 31 * *", "2031-05-31T09:00", "2031-07-31T09:00"),
        ("  0\t9 \n *  * * ", "2031-05-04T09:00", "2031-05-05T09:00"),
        ("@hourly", "2031-05-04T09:00", "2031-05-04T10:00"),
        ("@daily", "2031-05-04T09:00", "2031-05-05T00:00"),
        ("@midnight", "2031-05-04T09:00", "2031-05-05T00:00"),
        ("@weekly", "2031-05-04T09:00", "2031-05-11T00:00"),
        ("@monthly", "2031-05-04T09:00", "2031-06-01T00:00"),
        ("@yearly", "2031-05-04T09:00", "2032-01-01T00:00"),
        ("@Annually", "2031-05-04T09:00", "2032-01-01T00:00"),
        ("0 0 29 2 *", "2032-03-01T00:00", "2036-02-29T00:00"),
    ],
)
def test_an_expression_means_what_crontab_says(expression: str, after: str, expected: str) -> None:
    assert dues(expression, "UTC", after, 1) == [expected]


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("", "0 field"),
        ("0 9 * *", "4 field"),
        ("0 0 9 * * *", "six fields"),
        ("0 0 9 * * * 2031", "7 field"),
        ("* " * 51, "101 characters"),
        ("@reboot", "macro '@reboot'"),
        ("@daily 5", "macro '@daily 5'"),
        ("60 * * * *", "'minute': '60' is outside 0 to 59"),
        ("0 24 * * *", "'hour': '24' is outside 0 to 23"),
        ("0 0 0 * *", "'day of month': '0' is outside 1 to 31"),
        ("0 0 32 * *", "'day of month'"),
        ("0 0 * 13 *", "'month': '13' is outside"),
        ("0 0 * * 8", "'day of week': '8' is outside 0 to 7"),
        ("0 0 * MON *", "'month': 'MON' has a name"),
        ("0 0 * * JAN", "'day of week': 'JAN' has a name"),
        ("JAN * * * *", "takes no names"),
        ("0 0 * * MONDAY", "'day of week': 'MONDAY' is not"),
        ("*/0 * * * *", "step of 0"),
        ("*/-5 * * * *", "'minute'"),
        ("*/ * * * *", "'minute'"),
        ("/5 * * * *", "'minute'"),
        ("-5 * * * *", "'minute'"),
        ("1- * * * *", "'minute'"),
        ("1-2-3 * * * *", "'minute'"),
        ("1,,2 * * * *", "'minute': ''"),
        (",1 * * * *", "'minute': ''"),
        ("1.5 * * * *", "'minute'"),
        ("*5 * * * *", "'minute'"),
        ("*-5 * * * *", "'minute'"),
        ("+1 * * * *", "'minute'"),
        ("0 22-2 * * *", "runs backwards; write 22-23,0-2"),
        ("0 9 * * SAT-MON", "runs backwards; write 6-6,0-1"),
        ("0 0 L * *", "'day of month': 'L'"),
        ("0 0 15W * *", "'day of month': '15W'"),
        ("0 0 ? * *", "'day of month': '?'"),
        ("0 0 * * 5#2", "'day of week': '5#2'"),
        ("0 0 * * L5", "'day of week': 'L5'"),
        ("0 0 * * FRIL", "'day of week': 'FRIL'"),
        ("H * * * *", "'minute': 'H'"),
        ("H(0-5) * * * *", "'minute': 'H(0-5)'"),
        ("R * * * *", "'minute': 'R'"),
        ("1\x00 * * * *", "'minute'"),
        ("٣ * * * *", "'minute'"),
        ("0 0 * * ſun", "'day of week'"),
        ("\ud800 * * * *", "'minute'"),
    ],
)
def test_a_bad_expression_is_refused_with_place_reason_and_example(expression: str, complaint: str) -> None:
    with pytest.raises(InvalidSchedule) as refusal:
        parse_cron(expression)
    assert complaint in refusal.value.message
    assert "For example '0 9 * * MON-FRI'" in refusal.value.message
    refusal.value.message.encode()


def test_the_example_in_the_messages_works() -> None:
    assert parse_cron("0 9 * * MON-FRI").fields == ("0", "9", "*", "*", "MON-FRI")


def test_the_expression_is_kept_as_written_and_the_fields_are_expanded() -> None:
    cron = parse_cron("  @Daily ")
    assert (cron.expression, cron.fields) == ("@Daily", ("0", "0", "*", "*", "*"))
    assert parse_cron(" 0  9 * *  fri ").expression == "0  9 * *  fri"
    with pytest.raises(FrozenInstanceError):
        cron.expression = "0 0 * * *"  # type: ignore[misc]


def test_a_hundred_characters_are_allowed() -> None:
    expression = "0," * 45 + "10 * * * *"
    assert len(expression) == 100
    assert parse_cron(expression).expression == expression
    with pytest.raises(InvalidSchedule, match="101 characters"):
        parse_cron("0" + expression)


def test_two_restricted_day_fields_are_or() -> None:
    assert dues("0 9 1 * 1", "UTC", "2031-05-01T08:00", 4) == [
        "2031-05-01T09:00",  # Thursday the 1st
        "2031-05-05T09:00",
        "2031-05-12T09:00",
        "2031-05-19T09:00",
    ]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 9 */2 * MON", ["2031-05-05T09:00", "2031-05-19T09:00"]),  # odd days that are Mondays
        ("0 9 1-7 * */2", ["2031-05-01T09:00", "2031-05-03T09:00"]),  # Thursday and Saturday
        ("0 9 10 * *", ["2031-05-10T09:00", "2031-06-10T09:00"]),
        ("0 9 * * SAT", ["2031-05-03T09:00", "2031-05-10T09:00"]),
    ],
)
def test_a_day_field_that_starts_with_a_star_is_and(expression: str, expected: list[str]) -> None:
    assert dues(expression, "UTC", "2031-05-01T00:00", 2) == expected


@quick
@given(st.text(max_size=120))
def test_no_text_whatever_raises_anything_but_our_error(text: str) -> None:
    try:
        parse_cron(text)
    except InvalidSchedule as refusal:
        refusal.message.encode()


# --- For the admin ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("*/15 9-17/2 1,15 jan-mar,DEC MON-FRI", ("*/15", "9-17/2", "1,15", "1-3,12", "1-5")),
        ("5/15 09 * * 7", ("5-59/15", "9", "*", "*", "0")),
        ("0 0 * * FRI-SUN", ("0", "0", "*", "*", "5,6,0")),
        ("0 0 * * 1-7/2,SAT", ("0", "0", "*", "*", "1,3,5,0,6")),
        ("@weekly", ("0", "0", "*", "*", "0")),
        ("0 0 * * " + ",".join(["0-7"] * 20), ("0", "0", "*", "*", "0,1,2,3,4,5,6")),
    ],
)
def test_numeric_fields_have_neither_names_nor_sevens(expression: str, expected: tuple[str, ...]) -> None:
    assert to_numeric_fields(parse_cron(expression)) == expected


@quick
@given(EXPRESSIONS)
@example("5/15 * * * FRI-SUN")
@example("*/90 */30 */40 */13 */8")
@example("@monthly")
def test_celery_reads_the_numeric_fields_as_cron_does(expression: str) -> None:
    fields = to_numeric_fields(parse_cron(expression))
    minute, hour, day, month, weekday = fields
    celery = crontab(minute, hour, day_of_month=day, month_of_year=month, day_of_week=weekday)
    plain = CronSim(" ".join(parse_cron(expression).fields).replace("FRI-SUN", "5-7"), at("2031-01-01"))
    assert celery.minute == plain.minutes
    assert celery.hour == plain.hours
    assert celery.day_of_month == plain.days
    assert celery.month_of_year == plain.months
    assert celery.day_of_week == {day % 7 for day in plain.weekdays}
    assert max(map(len, fields)) <= 169
