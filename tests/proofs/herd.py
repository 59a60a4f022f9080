"""Ten thousand cues that are due in the same second: are all executions there soon, each once, for the right time?

`python -m tests.proofs.herd [--cues 10000] [--database postgres]`
All processes are real. The cues' work is delivered to a receiver of the proof meanwhile, so firing has to hold its own
beside deliveries.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tests.proofs.client import Client, arguments, machine, percentile, say, verdict
from tests.support.deadline import eventually
from tests.support.filler import ask, fill
from tests.support.postgres import running_postgres
from tests.support.processes import Installation
from tests.support.receiver import Receiver

WITHIN_S = 5.0
LEAD = timedelta(seconds=12)  # for the processes to start
GIVEN_UP_AFTER_S = 120.0
EVERY = {"every": "1d", "starts_at": "2026-01-01T00:00:00Z"}
CRON = {"type": "recurring", "cron": "0 0 1 1 *"}

COUNT = "SELECT count(*) FROM executions_execution"
LOOK_EVERY_S = 0.5  # not more often: whoever looks takes time from those who fire
READ = """
import json
from executions.models import Execution
rows = Execution.objects.values_list("cue", "scheduled_for", "created_at")
print(json.dumps([[cue, due.timestamp(), made.timestamp()] for cue, due, made in rows]))
"""


@dataclass(frozen=True)
class Herd:
    """What became of it. `made_ms` is from the due time to each execution's birth, ordered."""

    cues: int
    made_ms: Sequence[float]
    doubled: int
    wrong: int  # executions for another time

    def __str__(self) -> str:
        p50, last = percentile(self.made_ms, 0.5), self.made_ms[-1]
        return (
            f"{len(self.made_ms)} executions of {self.cues} cues, half of them within {p50:.0f} ms and all within "
            f"{last:.0f} ms; {self.doubled} doubled, {self.wrong} for a wrong time"
        )

    def faults(self) -> list[str]:
        told = [
            (self.cues - len(self.made_ms), "are missing"),
            (self.doubled, "were made twice"),
            (self.wrong, "are for a wrong time"),
        ]
        found = [f"{count} {what}" for count, what in told if count]
        if self.made_ms and self.made_ms[-1] > WITHIN_S * 1000:
            found.append(f"the last came after {self.made_ms[-1] / 1000:.1f} s, not {WITHIN_S:.0f}")
        return found


def prove(it: Installation, receiver: Receiver, *, cues: int) -> Herd:
    """Let so many cues come due in one second of a fresh installation in which only the broker runs."""
    it.start("web")
    with Client(it) as client:
        client.create_cue("crontab", CRON, receiver.url)
        template = client.create_cue("template", EVERY, receiver.url)
    it.stop("web")
    due_at = (datetime.now(UTC) + LEAD).replace(microsecond=0)
    fill(it.database_url, template["id"], cues=cues, now=due_at, spread_s=1)
    it.start("worker")
    it.start("beat")
    eventually(lambda: _count(it) >= cues, within_s=GIVEN_UP_AFTER_S, what="all executions")
    time.sleep(1)  # for one that would come twice
    return judge(json.loads(it.manage("shell", "--verbosity", "0", "-c", READ)), cues, due_at)


def _count(it: Installation) -> int:
    time.sleep(LOOK_EVERY_S)
    return int(ask(it.database_url, COUNT)[0][0])


def judge(rows: Sequence[tuple[str, float, float]], cues: int, due_at: datetime) -> Herd:
    made = Counter(cue for cue, _, _ in rows)
    return Herd(
        cues,
        made_ms=sorted((born - due) * 1000 for _, due, born in rows),
        doubled=sum(count - 1 for count in made.values()),
        wrong=sum(due != due_at.timestamp() for _, due, _ in rows),
    )


@contextmanager
def installation(database: str) -> Iterator[Installation]:
    limits = {"DISABLE_QUOTA_ENFORCEMENT": "true"}
    if database == "postgres":
        with running_postgres() as url, Installation({**limits, "DATABASE_URL": url}) as it:
            yield it
    else:
        with Installation(limits) as it:
            yield it


def main(words: Sequence[str]) -> int:
    parser = arguments(__doc__)
    parser.add_argument("--cues", type=int, default=10_000)
    options = parser.parse_args(words)
    say(f"{options.cues} cues due in one second on {options.database} ({machine()})")
    with installation(options.database) as it, Receiver() as receiver:
        it.start("broker")
        herd = prove(it, receiver, cues=options.cues)
    say(str(herd))
    return verdict(herd.faults(), f"{options.cues} executions within {WITHIN_S:.0f} s, each once and for its time")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
