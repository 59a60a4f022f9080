"""`kill -9` of the worker, of beat and of the broker, each in the middle of executions that fail at first.

`python -m tests.proofs.kill [--executions 500] [--victims worker,beat,broker] [--database postgres] [--broker redis]`
On PostgreSQL, `postgres` may be a victim too.
One-time cues come due in clumps. The receiver answers 500 to the first two attempts of each execution and 200 after
them. When it has seen 40 % of the first attempts, the victim is killed and started again a moment later. Then every
execution must reach a final state, none may be lost, and none may have two attempts with the same number, as the
API, the database and the receiver tell it.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.proofs.client import Client, arguments, chosen_broker, machine, running, say, verdict
from tests.support.brokers import BROKERS
from tests.support.deadline import eventually
from tests.support.processes import Installation
from tests.support.receiver import Answer, Received, Receiver

VICTIMS = ("worker", "beat", "broker")
FAILS_AT_FIRST = 2  # attempts
ANSWER_AFTER_S = 0.05  # so that some attempts are always in flight
KILL_AT = 0.4  # share of the first attempts that have arrived
DOWN_S = 1.0
FINAL_WITHIN_S = 180.0

CLUMP = 50  # cues that come due at the same instant
CLUMP_EVERY = timedelta(seconds=0.5)
CREATORS = 4
LEAD_S = 2.0  # the creating begins this long before the first clump, and for each cue this much longer
LEAD_S_PER_CUE = 0.03

ENDED = "success,failed,missed"

# A dead sender is noticed in minutes by default. The proof does not wait for that; nothing else differs.
SHORTENED = {
    "EXECUTION_STALE_AFTER_SECONDS": "2",
    "EXECUTION_STALE_MARGIN_SECONDS": "2",
    "WEBHOOK_TIMEOUT_SECONDS": "2",
    "REQUEUE_AFTER_SECONDS": "5",
    "BREAKER_FAILURES": "0",  # its receiver fails by design
}
# With hundreds at once on SQLite, a live sender may wait seconds for its turn to write: do not bury it.
PATIENT = SHORTENED | {"EXECUTION_STALE_MARGIN_SECONDS": "10"}

RETRY = {"max_attempts": 5, "backoff_minutes": [0]}

READ_ROWS = """
import json
from executions.models import Attempt, Execution
attempts = {}
for pk, number, stage in Attempt.objects.order_by("number").values_list("execution", "number", "error_stage"):
    attempts.setdefault(str(pk), []).append([number, stage])
runs = Execution.objects.values_list("pk", "cue", "status")
print(json.dumps([[str(pk), *rest, attempts.get(str(pk), [])] for pk, *rest in runs]))
"""


@dataclass(frozen=True)
class Life:
    """One execution, as the API or as the database tells it: `attempts` are (number, error stage or '')."""

    execution_id: str
    cue_id: str
    status: str
    attempts: tuple[tuple[int, str], ...]

    @property
    def numbers(self) -> list[int]:
        return [number for number, _ in self.attempts]

    @property
    def is_counted_right(self) -> bool:
        """The numbers are 1, 2, 3 and so on: none twice, none left out."""
        return self.numbers == list(range(1, len(self.numbers) + 1))


@dataclass(frozen=True)
class Findings:
    """What became of the executions of one victim's run."""

    victim: str
    executions: int
    final: int
    lost: int  # cues without an execution, or an execution that no receiver ever accepted
    doubled: int  # cues with more than one execution
    miscounted: int  # executions whose attempt numbers are not 1, 2, 3 and so on
    attempts: int
    interrupted: int
    seen_twice: int  # requests beyond the first for one attempt number of one execution
    disagreements: int  # executions of which API and database tell different things
    final_after_s: float  # from the kill

    def faults(self) -> list[str]:
        open_ones = self.executions - self.final
        told = [
            (open_ones, f"{open_ones} executions did not end"),
            (self.lost, f"{self.lost} were lost"),
            (self.doubled, f"{self.doubled} cues ran twice"),
            (self.miscounted, f"{self.miscounted} have wrong attempt numbers"),
            (self.seen_twice, f"the receiver saw an attempt number twice {self.seen_twice} times"),
            (self.disagreements, f"API and database differ about {self.disagreements}"),
        ]
        return [f"{self.victim}: {fault}" for count, fault in told if count]


def prove(it: Installation, client: Client, *, victim: str, executions: int) -> Findings:
    """Kill the victim once, in the middle of the executions, and find out what became of them."""
    with Receiver() as receiver:
        receiver.default = fail_at_first
        ended_before = client.count(status__in=ENDED)
        cues = create_cues(it, receiver, count=executions)
        await_first_attempts(receiver, round(KILL_AT * executions))
        killed_s = time.monotonic()
        revive(it, victim)
        await_final(client, ended_before + executions)
        final_after_s = time.monotonic() - killed_s
        return find(it, client, receiver.received, cues, victim=victim, final_after_s=final_after_s)


def fail_at_first(received: Received) -> Answer:
    return after(ANSWER_AFTER_S, Answer(500 if attempt_of(received)[1] <= FAILS_AT_FIRST else 200))


def after(delay_s: float, answer: Answer) -> Answer:
    """The answer, from a receiver that takes its time."""
    time.sleep(delay_s)
    return answer


def attempt_of(received: Received) -> tuple[str, int]:
    return received.headers["X-CueAPI-Execution-Id"], int(received.headers["X-CueAPI-Attempt"])


def create_cues(it: Installation, receiver: Receiver, *, count: int) -> set[str]:
    """One-time cues that come due in clumps, soon after the last of them is created. Their ids."""
    first_at = datetime.now(UTC) + timedelta(seconds=LEAD_S + count * LEAD_S_PER_CUE)

    def create_share(share: int) -> list[str]:
        with Client(it) as client:
            return [create(client, number) for number in range(share, count, CREATORS)]

    def create(client: Client, number: int) -> str:
        at = first_at + number // CLUMP * CLUMP_EVERY
        cue = client.create_cue(
            f"kill-{number}",
            {"type": "one-time", "at": at.isoformat()},
            receiver.url,
            retry=RETRY,
            on_failure={"email": False},
        )
        return str(cue["id"])

    with ThreadPoolExecutor(CREATORS) as creators:
        return {cue_id for ids in creators.map(create_share, range(CREATORS)) for cue_id in ids}


def await_first_attempts(receiver: Receiver, count: int) -> None:
    eventually(
        lambda: sum(attempt_of(received)[1] == 1 for received in receiver.received) >= count,
        within_s=FINAL_WITHIN_S,
        what=f"{count} first attempts",
    )


def revive(it: Installation, victim: str) -> None:
    """Kill it, leave the others alone with that for a moment, and start it again."""
    if victim == "postgres":
        assert it.database_server is not None, "killing PostgreSQL wants --database postgres"
        it.database_server.kill()
        time.sleep(DOWN_S)
        it.database_server.start()
        return
    it.kill(victim)
    time.sleep(DOWN_S)
    it.start(victim)


def await_final(client: Client, count: int) -> None:
    """Wait until that many have ended; when they do not in time, the findings tell."""
    deadline_s = time.monotonic() + FINAL_WITHIN_S
    while time.monotonic() < deadline_s and client.count(status__in=ENDED) < count:
        time.sleep(0.2)


# --- Findings ---------------------------------------------------------------------------------------------------


def find(
    it: Installation,
    client: Client,
    received: Sequence[Received],
    cues: set[str],
    *,
    victim: str,
    final_after_s: float,
) -> Findings:
    """Hold what the API, the database and the receiver tell against the cues."""
    stored, told = lives_in_database(it, cues), lives_over_api(client, cues)
    accepted = {execution for execution, number in map(attempt_of, received) if number > FAILS_AT_FIRST}
    served = {life.cue_id for life in stored.values() if life.execution_id in accepted}
    runs = Counter(life.cue_id for life in stored.values())
    return Findings(
        victim=victim,
        executions=len(cues),
        final=sum(life.status in ENDED.split(",") for life in stored.values()),
        lost=len(cues - served),
        doubled=sum(count > 1 for count in runs.values()),
        miscounted=sum(not life.is_counted_right for life in stored.values()),
        attempts=sum(len(life.attempts) for life in stored.values()),
        interrupted=sum(stage == "interrupted" for life in stored.values() for _, stage in life.attempts),
        seen_twice=sum(count - 1 for count in Counter(map(attempt_of, received)).values()),
        disagreements=sum(told.get(pk) != stored.get(pk) for pk in told.keys() | stored.keys()),
        final_after_s=final_after_s,
    )


def lives_in_database(it: Installation, cues: set[str]) -> dict[str, Life]:
    lines = it.manage("shell", "--verbosity", "0", "-c", READ_ROWS).splitlines()
    lives = [Life(pk, cue_id, status, pairs(attempts)) for pk, cue_id, status, attempts in json.loads(lines[-1])]
    return {life.execution_id: life for life in lives if life.cue_id in cues}


def lives_over_api(client: Client, cues: set[str]) -> dict[str, Life]:
    runs = [run["id"] for run in client.executions() if run["cue_id"] in cues]
    return {pk: life_over_api(client.get(f"/v1/executions/{pk}")) for pk in runs}


def life_over_api(detail: Mapping[str, Any]) -> Life:
    attempts = [(attempt["number"], attempt["error_stage"] or "") for attempt in detail["attempt_log"]]
    return Life(detail["id"], detail["cue_id"], detail["status"], pairs(attempts))


def pairs(attempts: Sequence[Sequence[Any]]) -> tuple[tuple[int, str], ...]:
    return tuple((number, stage) for number, stage in attempts)


def table(rows: Sequence[Findings]) -> str:
    head = ("victim", "executions", "final", "lost", "attempts", "interrupted", "seen twice", "all final after")
    cells = [
        (r.victim, r.executions, r.final, r.lost, r.attempts, r.interrupted, r.seen_twice, f"{r.final_after_s:.1f} s")
        for r in rows
    ]
    return "\n".join(
        "  ".join(f"{cell:>{len(name)}}" for name, cell in zip(head, row, strict=True)) for row in [head, *cells]
    )


def main(words: Sequence[str]) -> int:
    parser = arguments(__doc__)
    parser.add_argument("--executions", type=int, default=500)
    parser.add_argument("--victims", default=",".join(VICTIMS))
    parser.add_argument("--broker", choices=list(BROKERS), default="valkey")
    options = parser.parse_args(words)
    say(f"Shortened for the proof: {', '.join(f'{name}={value}' for name, value in PATIENT.items())}")
    rows = []
    for victim in options.victims.split(","):
        say(f"{victim}: {options.executions} executions on {options.database} and {options.broker} ({machine()})")
        place = {"postgres": options.database == "postgres", "broker": chosen_broker(options.broker)}
        with running(PATIENT, **place) as it, Client(it) as client:
            rows.append(prove(it, client, victim=victim, executions=options.executions))
            tell_logs(it)
    say(table(rows))
    found = [fault for row in rows for fault in row.faults()]
    return verdict(found, "every execution reached a final state, none is lost, no attempt number is there twice")


def tell_logs(it: Installation) -> None:
    """What the processes complained of, each kind once with its number."""
    for name in ("web", "worker", "beat"):
        complaints = Counter(without_time(line) for line in it.log(name).splitlines() if is_complaint(line))
        for line, count in complaints.most_common(5):
            say(f"  {name}, {count} times: {line}")


def without_time(line: str) -> str:
    return line.split("Z ", 1)[-1][:160]


def is_complaint(line: str) -> bool:
    return line.startswith("Traceback") or " CRITICAL " in line or " ERROR " in line


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
