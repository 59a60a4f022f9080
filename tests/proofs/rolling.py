"""A rolling restart: two workers, asked to stop (SIGTERM) one after the other while work goes on, each started anew.

`python -m tests.proofs.rolling [--executions 300] [--database postgres] [--broker redis|rabbitmq]`
Every execution must be delivered, and none twice: the receiver sees one request for each.
"""

import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from tests.proofs import kill
from tests.proofs.client import Client, arguments, chosen_broker, machine, running, say, verdict
from tests.support.brokers import BROKERS
from tests.support.deadline import eventually
from tests.support.processes import Installation
from tests.support.receiver import Answer, Received, Receiver

WORKERS = ("worker", "worker-2")
ANSWER_AFTER_S = 0.3  # so that some requests are always in flight
FIRST_STOP_AT = 0.1  # share of the requests that have come
CREATORS = 3
ALL_WITHIN_S = 180.0
RUN_NOW = {"type": "one-time", "at": None}


@dataclass(frozen=True)
class Findings:
    """What became of the executions of one rolling restart."""

    executions: int
    lost: int  # not delivered
    doubled: int  # requests beyond the first for one execution
    statuses: tuple[int, ...]  # what the stopped workers ended with
    longest_stop_s: float
    came_while_restarting: int

    def faults(self) -> list[str]:
        told = [
            (self.lost, f"{self.lost} executions were not delivered"),
            (self.doubled, f"{self.doubled} requests came twice"),
            (any(self.statuses), f"the workers ended with {self.statuses}"),
            (not self.came_while_restarting, "nothing was delivered while workers restarted: the load was too short"),
        ]
        return [fault for is_so, fault in told if is_so]


def prove(it: Installation, client: Client, *, executions: int) -> Findings:
    """Restart both workers while the executions are made and delivered; two workers are up before and after."""
    if not it.is_running(WORKERS[1]):
        it.start(WORKERS[1])
    with Receiver() as receiver, ThreadPoolExecutor(CREATORS) as creators:
        receiver.default = answer_slowly
        shares = [creators.submit(create, it, receiver.url, share, executions) for share in range(CREATORS)]
        count = partial(_requests, receiver)
        eventually(lambda: count() >= FIRST_STOP_AT * executions, within_s=ALL_WITHIN_S, what="the first requests")
        before = count()
        stops = [restart(it, worker) for worker in WORKERS]
        came = count() - before
        cues = {cue_id for share in shares for cue_id in share.result()}
        lost = executions - await_all(receiver, client, cues)
        seen = Counter(kill.attempt_of(received)[0] for received in receiver.received)
    return Findings(
        executions=executions,
        lost=lost,
        doubled=sum(seen.values()) - len(seen),
        statuses=tuple(status for status, _ in stops),
        longest_stop_s=max(took_s for _, took_s in stops),
        came_while_restarting=came,
    )


def answer_slowly(received: Received) -> Answer:
    return kill.after(ANSWER_AFTER_S, Answer())


def create(it: Installation, url: str, share: int, executions: int) -> list[str]:
    """This share of the cues, each to run now."""
    with Client(it) as client:
        numbers = range(share, executions, CREATORS)
        return [str(client.create_cue(f"rolling-{time.time_ns()}-{n}", RUN_NOW, url)["id"]) for n in numbers]


def restart(it: Installation, worker: str) -> tuple[int, float]:
    """Its exit status, and how long it took to stop."""
    started_s = time.monotonic()
    status = it.stop(worker)
    took_s = time.monotonic() - started_s
    it.start(worker)
    return status, took_s


def await_all(receiver: Receiver, client: Client, cues: set[str]) -> int:
    """Wait until each cue's execution has been delivered; how many have."""
    deadline_s = time.monotonic() + ALL_WITHIN_S
    while time.monotonic() < deadline_s:
        done = {run["cue_id"] for run in client.executions() if run["status"] == "success"} & cues
        if len(done) == len(cues):
            break
        time.sleep(0.2)
    return len(done)


def _requests(receiver: Receiver) -> int:
    return len(receiver.received)


def main(words: Sequence[str]) -> int:
    parser = arguments(__doc__)
    parser.add_argument("--executions", type=int, default=300)
    parser.add_argument("--broker", choices=list(BROKERS), default="valkey")
    options = parser.parse_args(words)
    say(f"{options.executions} executions on {options.database} and {options.broker} ({machine()})")
    place = {"postgres": options.database == "postgres", "broker": chosen_broker(options.broker)}
    with running({}, **place) as it, Client(it) as client:
        found = prove(it, client, executions=options.executions)
        kill.tell_logs(it)
    say(f"{found.came_while_restarting} came meanwhile; the longest stop took {found.longest_stop_s:.1f} s")
    return verdict(found.faults(), "every execution was delivered, and none twice")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
