"""The verdict: everything that was asked for held against what the server tells and what the receivers saw. Pure."""

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from cueapi.management.selftest.facts import Evidence, Kill, Life, Made, Request
from cueapi.management.selftest.kinds import ALWAYS_POSSIBLE, KINDS, Kind

FINAL = frozenset({"success", "failed", "missed", "outcome_timeout"})

ON_THE_WIRE = timedelta(seconds=5)
"""A request may arrive so long before the kill that keeps its answer from being recorded, on a busy machine."""

AFTERMATH = timedelta(seconds=10)
"""So long after a kill's end what it lost may still be on its way: until a sweep finds it."""

TOO_EARLY_S = -0.5  # a clock may be so far ahead (cueapi.clock.SKEW)


@dataclass(frozen=True)
class KindRow:
    """What became of the executions of one kind of receiver."""

    kind: Kind
    executions: int
    as_expected: int
    attempts: int
    requests: int


@dataclass(frozen=True)
class Lateness:
    """Of first requests, in seconds from the due time, sorted."""

    quiet_s: tuple[float, ...] = ()
    around_kills_s: tuple[float, ...] = ()


@dataclass(frozen=True)
class Findings:
    planned: int
    scheduled: int  # that had to come of the cues made
    final: int
    lost: int  # never made, not final, or called a success though no receiver accepted it
    strange: int  # executions beyond those
    attempts: int
    interrupted: int
    misnumbered: int  # executions whose attempt numbers are not 1, 2, 3 and so on
    numbers_twice: int  # requests beyond the first with one attempt number of one execution
    requests: int
    repeats: int  # requests accepted although an earlier one of the execution was
    repeats_unexplained: int  # and that no kill of a worker explains
    wrong: int  # executions in another end than their receiver's
    unsigned: int
    strayed: int
    early: int
    lateness: Lateness
    busy_s: float  # from the first request to the last
    kinds: tuple[KindRow, ...]
    kills: Mapping[str, int]
    refused: tuple[str, ...]
    problems: tuple[str, ...]

    def faults(self) -> list[str]:
        """What must not be, in words. None of them: the test is passed."""
        counted = [
            (self.lost, "lost (never made, not final, or called a success that no receiver saw)"),
            (self.strange, "executions that nobody asked for"),
            (self.misnumbered, "executions with wrong attempt numbers"),
            (self.numbers_twice, "requests with an attempt number that had been sent already"),
            (self.repeats_unexplained, "accepted requests repeated without a kill that explains it"),
            (self.wrong, "wrong verdicts"),
            (self.unsigned, "requests without a valid signature"),
            (self.strayed, "requests at addresses that no cue names"),
            (self.early, "requests before their time"),
            (len(self.refused), "cues that the server did not take"),
        ]
        return [f"{count} {what}" for count, what in counted if count] + list(self.problems)


def judge(evidence: Evidence) -> Findings:
    lives = {life.execution_id: life for life in evidence.lives}
    kind_of = {made.cue_id: made.kind for made in evidence.made}
    requests = _by_execution(evidence.requests)
    repeats = [pair for known in requests.values() for pair in _repeats(known)]
    firsts = [known[0] for known in requests.values()]
    lost, strange = _lost_and_strange(evidence.made, lives.values(), requests)
    rows = tuple(_row(kind, lives.values(), kind_of, evidence.requests) for kind in KINDS)
    return Findings(
        planned=evidence.planned,
        scheduled=sum(made.executions for made in evidence.made),
        final=sum(life.status in FINAL for life in lives.values()),
        lost=lost,
        strange=strange,
        attempts=sum(len(life.attempts) for life in lives.values()),
        interrupted=sum(one.stage == "interrupted" for life in lives.values() for one in life.attempts),
        misnumbered=sum(not _is_numbered_right(life) for life in lives.values()),
        numbers_twice=sum(len(known) - len({one.attempt for one in known}) for known in requests.values()),
        requests=len(evidence.requests),
        repeats=len(repeats),
        repeats_unexplained=sum(not _is_explained(first, lives, evidence.kills) for first in repeats),
        wrong=sum(row.executions - row.as_expected for row in rows),
        unsigned=sum(not one.is_signed for one in evidence.requests),
        strayed=evidence.strayed,
        early=sum(late_s(first) < TOO_EARLY_S for first in firsts),
        lateness=_lateness(firsts, evidence.kills),
        busy_s=_span_s(evidence.requests),
        kinds=rows,
        kills=Counter(kill.victim for kill in evidence.kills),
        refused=evidence.refused,
        problems=evidence.problems,
    )


def late_s(request: Request) -> float:
    """Seconds from its due time to its arrival."""
    return (request.arrived_at - request.due_at).total_seconds()


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that `share` (above 0, to 1) of the ordered values do not exceed, by nearest rank. 0 of none."""
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else 0.0


def _by_execution(requests: Iterable[Request]) -> dict[str, list[Request]]:
    """Those of each execution in order of arrival."""
    known: dict[str, list[Request]] = defaultdict(list)
    for request in sorted(requests, key=lambda one: one.arrived_at):
        known[request.execution_id].append(request)
    return known


# --- Lost, strange, wrong ---------------------------------------------------------------------------------------


def _lost_and_strange(
    made: Iterable[Made], lives: Collection[Life], requests: Mapping[str, Sequence[Request]]
) -> tuple[int, int]:
    sound = Counter(life.cue_id for life in lives if _is_sound(life, requests.get(life.execution_id, ())))
    born = Counter(life.cue_id for life in lives)
    wanted = {one.cue_id: one.executions for one in made}
    lost = sum(max(0, count - sound[cue_id]) for cue_id, count in wanted.items())
    return lost, sum(max(0, count - wanted.get(cue_id, 0)) for cue_id, count in born.items())


def _is_sound(life: Life, requests: Sequence[Request]) -> bool:
    """It ended, and a success was accepted by its receiver."""
    if life.status == "success":
        return any(request.accepted for request in requests)
    return life.status in FINAL


def _is_numbered_right(life: Life) -> bool:
    return [one.number for one in life.attempts] == list(range(1, len(life.attempts) + 1))


def _row(kind: Kind, lives: Iterable[Life], kind_of: Mapping[str, str], requests: Iterable[Request]) -> KindRow:
    own = [life for life in lives if kind_of.get(life.cue_id) == kind.name]
    return KindRow(
        kind=kind,
        executions=len(own),
        as_expected=sum(is_as_expected(life, kind) for life in own),
        attempts=sum(len(life.attempts) for life in own),
        requests=sum(request.kind == kind.name for request in requests),
    )


def is_as_expected(life: Life, kind: Kind) -> bool:
    """Whether it ended as every execution of this kind must, for the reason for which it must."""
    stages = [one.stage for one in life.attempts]
    if life.status != kind.verdict or len(stages) < kind.attempts_min:
        return False
    if kind.stage:
        return len(stages) == kind.max_attempts and set(stages) <= ALWAYS_POSSIBLE | {kind.stage}
    return stages[-1] == ""


# --- Repeats ----------------------------------------------------------------------------------------------------


def _repeats(requests: Sequence[Request]) -> list[Request]:
    """Of one execution's requests, each accepted one that another accepted one follows."""
    return [request for request in requests if request.accepted][:-1]


def _is_explained(request: Request, lives: Mapping[str, Life], kills: Iterable[Kill]) -> bool:
    """Whether it was on the wire when a worker was killed, so that nobody could record its answer."""
    life = lives.get(request.execution_id)
    stages = {one.number: one.stage for one in life.attempts} if life else {}
    is_on_the_wire = any(
        kill.victim == "worker" and request.arrived_at - ON_THE_WIRE <= kill.at <= request.arrived_at + ON_THE_WIRE
        for kill in kills
    )
    return is_on_the_wire and stages.get(request.attempt) == "interrupted"


# --- Lateness ---------------------------------------------------------------------------------------------------


def _lateness(firsts: Iterable[Request], kills: Sequence[Kill]) -> Lateness:
    quiet: list[float] = []
    around: list[float] = []
    for first in firsts:
        (around if _is_around(first, kills) else quiet).append(late_s(first))
    return Lateness(tuple(sorted(quiet)), tuple(sorted(around)))


def _is_around(request: Request, kills: Iterable[Kill]) -> bool:
    """Whether a kill or its aftermath fell into the time from its due time to its arrival."""
    return any(kill.at <= request.arrived_at and request.due_at <= kill.ready_at + AFTERMATH for kill in kills)


def _span_s(requests: Sequence[Request]) -> float:
    if not requests:
        return 0.0
    times = [request.arrived_at for request in requests]
    return (max(times) - min(times)).total_seconds()
