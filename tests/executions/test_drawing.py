"""Times to scale: in order, inside the line, and nothing that lasted without a width."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from executions.drawing import LENGTH, scale

NOON = datetime(2031, 5, 4, 12, tzinfo=UTC)
SECONDS = st.floats(0, 10_000_000, allow_nan=False)


@given(st.lists(SECONDS, max_size=30), st.floats(0, 100))
def test_instants_keep_their_order_inside_the_line(seconds: list[float], work_s: float) -> None:
    instants = sorted(NOON + timedelta(seconds=each) for each in seconds)
    drawn = scale(instants, work_s=work_s)
    places = [drawn.place(at) for at in instants]
    assert places == sorted(places)
    assert all(0 <= place <= LENGTH + 1e-6 for place in places)


def test_short_spans_stay_to_scale_beside_a_long_wait() -> None:
    at = [NOON, NOON + timedelta(seconds=1), NOON + timedelta(hours=5), NOON + timedelta(hours=5, seconds=2)]
    drawn = scale(at, work_s=3)
    first, last = (drawn.place(at[1]) - drawn.place(at[0]), drawn.place(at[3]) - drawn.place(at[2]))
    assert round(last / first, 6) == 2
    assert first > 10  # of a thousand, though five hours lie between
    assert len(drawn.breaks) == 1 and drawn.place(at[1]) < drawn.breaks[0] < drawn.place(at[2])


def test_without_long_waits_everything_is_to_scale() -> None:
    drawn = scale([NOON, NOON + timedelta(seconds=1), NOON + timedelta(seconds=4)], work_s=4)
    assert (drawn.place(NOON + timedelta(seconds=1)), list(drawn.breaks)) == (250.0, [])


def test_one_instant_and_none() -> None:
    assert scale([], work_s=0).place(NOON) == 0
    assert scale([NOON], work_s=0).place(NOON + timedelta(days=1)) == 0
