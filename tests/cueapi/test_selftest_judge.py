"""The self-test's verdict: what counts as lost, repeated or wrong, and what a kill explains."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cueapi.management.selftest import report
from cueapi.management.selftest.facts import Attempt, Evidence, Kill, Life, Made, Request
from cueapi.management.selftest.judging import Lateness, judge, percentile
from cueapi.management.selftest.kinds import KINDS, Kind

DUE = datetime(2031, 5, 4, 9, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return DUE + timedelta(seconds=seconds)


def life(status: str = "success", *stages: str) -> Life:
    attempts = tuple(Attempt(number, stage) for number, stage in enumerate(stages or ("",), start=1))
    return Life("run", "cue", status, attempts)


def request(*, at_s: float = 0.1, attempt: int = 1, accepted: bool = True, kind: str = "healthy") -> Request:
    return Request(kind, "run", "cue", attempt, due_at=DUE, arrived_at=after(at_s), accepted=accepted)


def kill(at_s: float, victim: str = "worker") -> Kill:
    return Kill(victim, after(at_s), after(at_s + 2))


def evidence(
    *lives: Life, requests: Sequence[Request] = (), kills: Sequence[Kill] = (), kind: str = "healthy"
) -> Evidence:
    return Evidence(
        planned=1, made=(Made("cue", kind),), refused=(), lives=lives, requests=tuple(requests), kills=tuple(kills)
    )


WELL = evidence(life(), requests=[request()])


def test_one_success_that_its_receiver_accepted_is_without_fault() -> None:
    found = judge(WELL)
    assert found.faults() == []
    assert (found.scheduled, found.final, found.lost, found.attempts, found.requests) == (1, 1, 0, 1, 1)
    assert report.passed(found).startswith("PASSED: 1 executions, none lost, no attempt twice")


# --- Lost -------------------------------------------------------------------------------------------------------


def test_an_execution_that_was_never_made_is_lost() -> None:
    assert judge(evidence()).lost == 1


@pytest.mark.parametrize("status", ["pending", "delivering", "delivered", "retrying"])
def test_an_execution_that_does_not_end_is_lost(status: str) -> None:
    found = judge(evidence(life(status), requests=[request()]))
    assert (found.lost, found.final) == (1, 0)
    assert found.faults()[0].startswith("1 lost")


def test_a_success_of_which_the_receiver_knows_nothing_is_lost() -> None:
    assert judge(evidence(life())).lost == 1


def test_a_success_whose_requests_were_all_refused_is_lost() -> None:
    assert judge(evidence(life(), requests=[request(accepted=False)])).lost == 1


def test_each_run_that_a_recurring_cue_owes_counts() -> None:
    owed = replace(WELL, made=(Made("cue", "healthy", executions=3),))
    assert judge(owed).lost == 2


def test_a_second_execution_of_a_cue_that_runs_once_is_strange() -> None:
    other = replace(life(), execution_id="another")
    assert judge(replace(WELL, lives=(life(), other))).strange == 1


def test_an_execution_of_an_unknown_cue_is_strange() -> None:
    assert judge(replace(WELL, lives=(life(), replace(life(), cue_id="unknown")))).strange == 1


# --- Attempts and requests --------------------------------------------------------------------------------------


@pytest.mark.parametrize("numbers", [(1, 1), (1, 3), (2,), (2, 1)])
def test_attempts_are_numbered_from_one_without_gap_or_repetition(numbers: tuple[int, ...]) -> None:
    attempts = tuple(Attempt(number, "") for number in numbers)
    assert judge(evidence(replace(life(), attempts=attempts), requests=[request()])).misnumbered == 1


def test_one_attempt_number_sent_twice_is_a_fault_kill_or_not() -> None:
    found = judge(evidence(life(), requests=[request(), request(at_s=0.2)], kills=[kill(0.15)]))
    assert found.numbers_twice == 1
    assert "1 requests with an attempt number that had been sent already" in found.faults()


REPEATED = evidence(
    life("success", "interrupted", ""), requests=[request(at_s=1), request(at_s=8, attempt=2)], kills=[kill(1.1)]
)


def test_a_repeat_after_a_kill_that_caught_its_answer_is_counted_and_explained() -> None:
    found = judge(REPEATED)
    assert (found.repeats, found.repeats_unexplained, found.interrupted) == (1, 0, 1)
    assert found.faults() == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"kills": ()}, "nothing was killed"),
        ({"kills": (kill(7),)}, "the kill came long after"),
        ({"kills": (kill(1.1, "beat"),)}, "beat sends nothing"),
        ({"lives": (life("success", "", ""),)}, "its answer was recorded"),
    ],
)
def test_a_repeat_is_a_fault_when(change: dict, why: str) -> None:
    found = judge(replace(REPEATED, **change))
    assert found.repeats_unexplained == 1, why
    assert "1 accepted requests repeated without a kill that explains it" in found.faults()


def test_a_request_long_before_its_time_is_early() -> None:
    assert judge(evidence(life(), requests=[request(at_s=-1)])).early == 1


def test_an_unsigned_request_a_stray_one_and_a_refused_cue_are_faults() -> None:
    unsigned = replace(request(), is_signed=False)
    found = judge(replace(WELL, requests=(unsigned,), strayed=2, refused=("POST /v1/cues was answered 503",)))
    assert found.faults() == [
        "1 requests without a valid signature",
        "2 requests at addresses that no cue names",
        "1 cues that the server did not take",
    ]


# --- Verdicts ---------------------------------------------------------------------------------------------------

FAILING = [kind for kind in KINDS if kind.stage]


@pytest.mark.parametrize("kind", FAILING, ids=lambda kind: kind.name)
def test_a_hostile_receiver_must_end_in_its_own_failure(kind: Kind) -> None:
    refused = [request(kind=kind.name, accepted=False)]
    well = life("failed", *[kind.stage] * kind.max_attempts)
    hit_once = life("failed", "interrupted", *[kind.stage] * (kind.max_attempts - 1))
    gave_up_early = life("failed", *[kind.stage] * (kind.max_attempts - 1))
    another_reason = life("failed", *["connect"] * kind.max_attempts)
    wrongs = [
        judge(evidence(one, requests=refused, kind=kind.name)).wrong
        for one in (well, hit_once, gave_up_early, another_reason, life())
    ]
    assert wrongs == [0, 0, 1, 1, 1]


def test_a_healthy_receiver_must_not_end_in_a_failure() -> None:
    found = judge(evidence(life("failed", "status"), requests=[request()]))
    assert (found.lost, found.wrong) == (0, 1)


def test_one_that_fails_at_first_cannot_succeed_at_once() -> None:
    assert judge(evidence(life(), requests=[request()], kind="recovers")).wrong == 1


# --- Lateness ---------------------------------------------------------------------------------------------------


def test_lateness_is_told_apart_around_kills_and_in_quiet() -> None:
    assert judge(WELL).lateness.quiet_s == (0.1,)
    late = judge(evidence(life(), requests=[request(at_s=6)], kills=[kill(3, "beat")])).lateness
    assert (late.quiet_s, late.around_kills_s) == ((), (6.0,))


def test_a_kill_after_the_arrival_or_long_before_the_due_time_explains_no_lateness() -> None:
    kills = [kill(0.2), kill(-60)]
    assert judge(replace(WELL, kills=tuple(kills))).lateness.around_kills_s == ()


def test_only_first_requests_count_for_lateness() -> None:
    assert judge(REPEATED).lateness.quiet_s == (1.0,)


def test_percentiles_are_of_the_nearest_rank() -> None:
    values = [float(n) for n in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.99, 1)] == [50, 99, 100]
    assert percentile([], 0.5) == 0


def test_the_histogram_has_a_bar_for_each_stretch_and_room_for_everything() -> None:
    lines = report.histogram(Lateness(quiet_s=(0.01, 0.04, 0.7), around_kills_s=(0.8, 900.0)))
    assert [line.partition("|")[2].lstrip("#+") for line in lines[:-1]] == [
        *(" 2", " 0", " 0", " 0", " 2"),
        *(" 0", " 0", " 0", " 0", " 1"),
    ]
    assert lines[4] == f"  <  1.0 s |{'#' * 20}{'+' * 20} 2"
    assert lines[9] == f"  ≥ 20.0 s |{'+' * 20} 1"


# --- Words ------------------------------------------------------------------------------------------------------


def test_a_failure_says_why_where_the_logs_are_and_how_to_repeat_it(tmp_path: Path) -> None:
    told = report.failed(judge(evidence()).faults(), kept=tmp_path, seed=7)
    assert told.startswith("FAILED: 1 lost (never made")
    assert str(tmp_path) in told
    assert "--seed 7" in told


def test_the_last_line_of_a_failure_is_the_verdict_even_when_a_log_is_shown(tmp_path: Path) -> None:
    told = report.failed(["web ended with status 1:\nTraceback\n  boom"], kept=tmp_path, seed=7).splitlines()
    assert told[1] == "Traceback"
    assert told[-1].startswith("FAILED: web ended with status 1.")
