"""How much may go out to a destination, and what its attempts tell of it."""

from datetime import timedelta

import pytest

from cues.models import Cue
from executions import delivery, destinations, due, lifecycle, recording
from executions.destinations import Tried
from executions.lanes import Lane
from executions.models import Alert, Destination, Execution
from executions.states import Status
from executions.transports.webhook import Result
from tests.support import make
from tests.support.make import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.database]

SECOND = timedelta(seconds=1)


@pytest.fixture
def cue() -> Cue:
    return make.cue(make.account(), next_run=None)


@pytest.fixture(autouse=True)
def small(settings) -> None:
    limits = {"lane_concurrency": 4, "breaker_failures": 3, "max_concurrent_deliveries_per_user": 10}
    settings.CUEAPI = settings.CUEAPI.model_copy(update=limits)


def lane_of(cue: Cue, origin: str = "") -> Lane:
    return Lane(cue.account_id, origin or cue.lane)


def destination_of(cue: Cue, **columns) -> Destination:
    return Destination.objects.create(account=cue.account, lane=cue.lane, **columns)


def taken(cue: Cue, now=NOW) -> int:
    return len(delivery.take(lane_of(cue), now=now).deliveries)


def pending(cue: Cue, count: int, **columns) -> list[Execution]:
    return [make.execution(cue, **columns) for _ in range(count)]


def answer(cue: Cue, *, status: int | None, now=NOW) -> None:
    """Every attempt under way ends like this."""
    stage = "" if status == 200 else "status" if status else "connect"
    flying = Execution.objects.filter(status=Status.DELIVERING).select_related("cue", "account")
    recording.record(
        [Result(due.under_way(e, now=now), now, 7, http_status=status, error_stage=stage) for e in flying],
        now=now,
    )


def test_no_more_than_the_cap_is_in_flight_however_many_ask(cue: Cue) -> None:
    pending(cue, 9)
    assert [taken(cue), taken(cue)] == [4, 0]
    answer(cue, status=200)
    assert taken(cue) == 4


def test_other_lanes_and_other_accounts_have_room_of_their_own(cue: Cue) -> None:
    pending(cue, 5)
    pending(cue, 5, lane="http://other.example")
    stranger = make.cue(make.account("bob@example.org"))
    pending(stranger, 5)
    assert (taken(cue), taken(stranger)) == (4, 4)
    assert len(delivery.take(lane_of(cue, "http://other.example"), now=NOW).deliveries) == 4


def test_the_accounts_cap_holds_over_all_its_lanes(cue: Cue) -> None:
    found = []
    for number in range(4):
        origin = f"http://{number}.example"
        pending(cue, 5, lane=origin)
        claim = delivery.take(lane_of(cue, origin), now=NOW)
        found.append((len(claim.deliveries), claim.room.look_at))
    assert found == [(4, None), (4, None), (2, None), (0, NOW + destinations.CAP_WAIT)]


def test_a_request_whose_sender_must_have_died_takes_no_room(cue: Cue) -> None:
    pending(cue, 8)
    assert taken(cue) == 4
    assert taken(cue, NOW + 39 * SECOND) == 0
    assert taken(cue, NOW + 41 * SECOND) == 4


def test_a_fast_receiver_has_more_claimed_at_a_time_and_no_more_in_flight(cue: Cue) -> None:
    destination_of(cue, recent=[[5, 1]] * 10)
    pending(cue, 60)
    claim = delivery.take(lane_of(cue), now=NOW)
    assert (len(claim.deliveries), claim.room.senders) == (destinations.FAST_BATCH, destinations.FAST_SENDERS)
    assert taken(cue) == 0  # nobody else beside it


def test_a_rate_lets_attempts_start_at_its_pace(cue: Cue) -> None:
    destination_of(cue, rate_per_minute=30)
    pending(cue, 9)
    claim = delivery.take(lane_of(cue), now=NOW)
    assert (len(claim.deliveries), claim.room.look_at) == (1, NOW + 2 * SECOND)
    assert [taken(cue, NOW + wait * SECOND) for wait in (0, 1.9, 2, 2.1, 4)] == [0, 0, 1, 0, 1]


def test_a_fast_rate_may_be_used_up_for_a_second_at_once(cue: Cue) -> None:
    destination_of(cue, rate_per_minute=120)
    pending(cue, 9)
    assert taken(cue) == 3
    assert [taken(cue, NOW + wait * SECOND) for wait in (0.1, 0.4, 0.5)] == [0, 0, 1]


# --- The breaker ------------------------------------------------------------------------------------------------


def test_failures_in_a_row_open_it_and_nothing_goes_out_or_is_spent(cue: Cue) -> None:
    waiting = pending(cue, 6)
    assert taken(cue) == 4
    answer(cue, status=None)
    destination = Destination.objects.get()
    assert (destination.state, destination.failures, destination.probe_at) == ("open", 3, NOW + 5 * SECOND)
    assert taken(cue, NOW + 4 * SECOND) == 0
    left = Execution.objects.filter(pk__in=[e.pk for e in waiting], status=Status.PENDING)
    assert list(left.values_list("attempts", flat=True)) == [0, 0]


def test_one_probe_goes_out_and_its_answer_lets_the_others_follow_ever_more(cue: Cue) -> None:
    destination_of(cue, state="open", failures=3, opened_at=NOW, probe_at=NOW + 5 * SECOND)
    pending(cue, 20)
    now, seen = NOW + 5 * SECOND, []
    for _ in range(4):
        seen.append(taken(cue, now))
        assert taken(cue, now) == 0
        answer(cue, status=200, now=now)
    assert seen == [1, 2, 4, 4]
    assert Destination.objects.get().state == "closed"


def test_a_probe_that_fails_is_followed_by_a_longer_wait(cue: Cue) -> None:
    destination_of(cue, state="open", failures=3, opened_at=NOW, probe_at=NOW + 5 * SECOND)
    pending(cue, 3)
    now = NOW + 5 * SECOND
    assert taken(cue, now) == 1
    answer(cue, status=503, now=now)
    destination = Destination.objects.get()
    assert (destination.state, destination.probe_at) == ("open", now + 10 * SECOND)


@pytest.mark.parametrize(("status", "state"), [(404, "closed"), (410, "closed"), (429, "open"), (500, "open")])
def test_a_refusal_of_one_request_is_an_answer_and_an_overload_is_none(cue: Cue, status: int, state: str) -> None:
    pending(cue, 4)
    taken(cue)
    answer(cue, status=status)
    assert Destination.objects.get().state == state


def test_what_tells_nothing_of_the_destination_is_not_counted(cue: Cue) -> None:
    destination = destination_of(cue, failures=2)
    assert not destinations.note(destination, [Tried(5, None, "refused")] * 9, now=NOW)
    assert (destination.failures, destination.recent) == (2, [])


def test_an_open_destination_is_told_once_to_its_account(cue: Cue) -> None:
    destination = destination_of(cue)
    for _ in range(2):
        pending(cue, 4)
        taken(cue)
        answer(cue, status=None)
        Destination.objects.update(state="closed", failures=0, probe_at=None)
    alert = Alert.objects.get(alert_type="destination_down")
    assert (alert.account_id, alert.cue_id) == (cue.account_id, None)
    assert alert.message == f"Webhooks to {destination.lane} wait: 3 attempts in a row were not answered"
    assert alert.metadata["destination"] == cue.lane


def test_only_the_latest_attempts_are_kept(cue: Cue) -> None:
    destination = destination_of(cue)
    destinations.note(destination, [Tried(number, True, "") for number in range(130)], now=NOW)
    assert destination.recent == [[number, 1] for number in range(30, 130)]


def test_what_is_handed_back_is_claimed_by_the_next(cue: Cue) -> None:
    pending(cue, 3)
    claimed = delivery.take(lane_of(cue), now=NOW).deliveries
    lifecycle.hand_back({one.execution_id: one.attempt for one in claimed}, now=NOW)
    assert taken(cue) == 3
    assert set(Execution.objects.values_list("attempts", flat=True)) == {1}
