"""One visitor at a lane, and word for the visitor."""

from uuid import uuid4

from executions.lanes import Lane
from executions.visits import Visits

LANE = Lane(uuid4(), "https://hooks.example.org:443")


def test_a_second_visitor_is_turned_away_and_the_first_is_called() -> None:
    visits = Visits()
    with visits.to(LANE) as visit:
        assert visit is not None
        with visits.to(LANE) as second:
            assert second is None
        assert visit.was_called()
        assert not visit.was_called()


def test_a_lane_may_be_visited_again_after_a_visit_that_went_wrong() -> None:
    visits = Visits()
    try:
        with visits.to(LANE):
            raise ConnectionError
    except ConnectionError:
        pass
    with visits.to(LANE) as again:
        assert again is not None


def test_visits_to_other_lanes_and_of_other_processes_are_their_own() -> None:
    visits = Visits()
    with visits.to(LANE), visits.to(Lane(LANE.account_id, "https://other.example.org:443")) as other:
        assert other is not None
        with Visits().to(LANE) as elsewhere:
            assert elsewhere is not None
