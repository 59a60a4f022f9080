"""The verdict of the selftest: each way to fail is seen, and nothing else is called a failure. Pure."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cueapi.management.selftest.facts import Attempt, Evidence, Kill, Life, Made, Request
from cueapi.management.selftest.judging import judge, percentile

AT = datetime(2031, 5, 4, 9, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def request(execution_id: str = "e1", **facts: Any) -> Request:
    given: dict[str, Any] = {"kind": "healthy", "cue_id": f"cue_{execution_id}", "attempt": 1, "accepted": True}
    return Request(execution_id=execution_id, **{**given, "due_at": AT, "arrived_at": AT + SECOND / 10, **facts})


def life(execution_id: str = "e1", status: str = "success", *stages: str) -> Life:
    attempts = tuple(Attempt(number, stage) for number, stage in enumerate(stages or ("",), start=1))
    return Life(execution_id, f"cue_{execution_id}", status, attempts)


def evidence(**facts: Any) -> Evidence:
    """One healthy execution that went well, but for `facts`."""
    whole = Evidence(1, (Made("cue_e1", "healthy"),), (), (life(),), (request(),), ())
    return replace(whole, **facts)


def test_what_went_well_is_no_fault() -> None:
    found = judge(evidence())
    assert (found.faults(), found.lost, found.final, found.repeats) == ([], 0, 1, 0)


@pytest.mark.parametrize(
    ("facts", "fault"),
    [
        ({"lives": ()}, "1 lost"),
        ({"lives": (life("e1", "delivering"),)}, "1 lost"),
        ({"requests": ()}, "1 lost"),
        ({"requests": (request(accepted=False),)}, "1 lost"),
        ({"lives": (life(), life("e2"))}, "1 executions that nobody asked for"),
        ({"lives": (replace(life(), attempts=(Attempt(1, ""), Attempt(1, ""))),)}, "1 executions with wrong attempt"),
        ({"lives": (replace(life(), attempts=(Attempt(2, ""),)),)}, "1 executions with wrong attempt"),
        ({"requests": (request(), request(accepted=False))}, "1 requests with an attempt number that had been sent"),
        ({"requests": (request(), request(attempt=2))}, "1 accepted requests repeated without a kill"),
        ({"lives": (life("e1", "failed", "status"),)}, "1 wrong verdicts"),
        ({"requests": (request(is_signed=False),)}, "1 requests without a valid signature"),
        ({"strayed": 2}, "2 requests at addresses that no cue names"),
        ({"requests": (request(arrived_at=AT - SECOND),)}, "1 requests before their time"),
        ({"refused": ("422",)}, "1 cues that the server did not take"),
        ({"problems": ("the worker did not come back",)}, "the worker did not come back"),
    ],
)
def test_each_way_to_go_wrong_is_a_fault_in_words(facts: dict[str, Any], fault: str) -> None:
    assert any(told.startswith(fault) for told in judge(evidence(**facts)).faults())


@pytest.mark.parametrize(
    ("victim", "first_stage", "late", "explained"),
    [
        ("worker", "interrupted", SECOND, True),
        ("worker", "", SECOND, False),
        ("beat", "interrupted", SECOND, False),
        ("worker", "interrupted", 60 * SECOND, False),
    ],
)
def test_a_repeat_is_explained_by_a_worker_killed_before_it_could_record(
    victim: str, first_stage: str, late: timedelta, explained: bool
) -> None:
    found = judge(
        evidence(
            lives=(life("e1", "success", first_stage, ""),),
            requests=(request(), request(attempt=2, arrived_at=AT + 30 * SECOND)),
            kills=(Kill(victim, AT + late, AT + late + SECOND),),
        )
    )
    assert (found.repeats, found.repeats_unexplained) == (1, 0 if explained else 1)


def test_a_receiver_that_must_fail_has_to_fail_for_its_own_reason() -> None:
    made, asked = (Made("cue_e1", "redirects"),), (request(kind="redirects", accepted=False),)
    right = evidence(made=made, requests=asked, lives=(life("e1", "failed", "status", "status"),))
    assert judge(right).faults() == []
    followed = evidence(made=made, requests=asked, lives=(life("e1", "failed", "status", "connect"),))
    assert judge(followed).faults() == ["1 wrong verdicts"]


def test_lateness_around_kills_is_told_apart() -> None:
    early, late = request(), request("e2", due_at=AT + 60 * SECOND, arrived_at=AT + 65 * SECOND)
    found = judge(
        evidence(
            made=(Made("cue_e1", "healthy"), Made("cue_e2", "healthy")),
            lives=(life(), life("e2")),
            requests=(early, late),
            kills=(Kill("broker", AT + 61 * SECOND, AT + 63 * SECOND),),
        )
    )
    assert (found.lateness.quiet_s, found.lateness.around_kills_s) == ((0.1,), (5.0,))
    assert (percentile([1, 2, 3, 4], 0.5), percentile([], 0.99)) == (2, 0.0)
