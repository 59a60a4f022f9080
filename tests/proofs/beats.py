"""Two beats, and `kill -9` of one of them again and again: no window is missing, none runs twice.

`python -m tests.proofs.beats [--kills 200] [--seed 1] [--database postgres]`
Minute cues and one-time cues of every second come due meanwhile. At each kill the dice choose the beat, how long it
stays down, and whether the other is down at the same time. At the end each window that passed must have exactly one
execution, and the auditor must agree.
"""

import json
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tests.proofs.client import Client, arguments, machine, running, say, verdict
from tests.support.deadline import eventually
from tests.support.processes import Installation

BEATS = ("beat", "beat-2")
MINUTE_CUES = 20
ONCE_PER_S = 3
PAUSE_S = (0.1, 1.5)  # between kills
DOWN_S = (0.0, 1.0)
BOTH_DOWN = 0.2  # share of kills that take both
MINUTE = timedelta(minutes=1)
DONE_WITHIN_S = 60.0
TOLD_EVERY = 20

READ = """
import json
from executions.models import Execution
print(json.dumps([[e.cue_id, e.scheduled_for.timestamp()] for e in Execution.objects.only("cue", "scheduled_for")]))
"""

Slot = tuple[str, float]


@dataclass(frozen=True)
class Found:
    """What became of the windows that passed."""

    kills: int
    windows: int
    missing: int
    double: int
    audit: str

    def faults(self) -> list[str]:
        told = [(self.missing, "missing"), (self.double, "double")]
        unexplained = [] if self.audit.endswith("All is accounted for.") else [f"the audit says: {self.audit}"]
        return [f"{count} {what}" for count, what in told if count] + unexplained


def prove(it: Installation, client: Client, *, kills: int, rng: random.Random) -> Found:
    """Kill beats of an installation in which everything runs, and look at what came of it."""
    if not it.is_running("beat-2"):
        it.start("beat-2")
    since = datetime.now(UTC)
    minute_cues = [
        _create(client, f"minute {n}", {"type": "recurring", "cron": "* * * * *"}) for n in range(MINUTE_CUES)
    ]
    once = _create_once(client, kills)
    for number in range(1, kills + 1):
        _kill(it, rng)
        if number % TOLD_EVERY == 0:
            say(f"{number} of {kills} kills")
    last_at = max(once.values(), default=since.timestamp())
    expected = _await_end(it, minute_cues, once, last_at)
    audit = it.manage("audit_slots").splitlines()[-1]
    made = Counter(_read(it))
    return Found(
        kills,
        windows=len(expected),
        missing=len(expected - made.keys()),
        double=sum(count - 1 for count in made.values()),
        audit=audit,
    )


def _create(client: Client, name: str, schedule: dict[str, str]) -> str:
    cue = client.post("/v1/cues", {"name": name, "transport": "worker", "schedule": schedule})
    return str(cue["id"])


def _create_once(client: Client, kills: int) -> dict[str, float]:
    """One-time cues over the time that the kills will take; the second each is due at."""
    seconds = round(kills * (sum(PAUSE_S) / 2 + sum(DOWN_S) / 2)) + 2
    first = datetime.now(UTC) + timedelta(seconds=2 + seconds * ONCE_PER_S * 0.03)
    due = {}
    for number in range(seconds * ONCE_PER_S):
        at = first + timedelta(seconds=number / ONCE_PER_S)
        due[_create(client, f"once {number}", {"type": "once", "at": at.isoformat()})] = at.timestamp()
    return due


def _kill(it: Installation, rng: random.Random) -> None:
    victims = BEATS if rng.random() < BOTH_DOWN else [rng.choice(BEATS)]
    time.sleep(rng.uniform(*PAUSE_S))
    for victim in victims:
        it.kill(victim)
    time.sleep(rng.uniform(*DOWN_S))
    for victim in victims:
        it.start(victim)


def _await_end(it: Installation, minute_cues: Sequence[str], once: dict[str, float], last_at: float) -> set[Slot]:
    """Wait until the last window has passed and was served; the windows that had to be."""
    eventually(
        lambda: time.time() > last_at + 1, within_s=last_at - time.time() + DONE_WITHIN_S, what="the last window"
    )
    first_minute = _first_minute(it, minute_cues)
    until = datetime.now(UTC)
    minutes = {(cue, at) for cue in minute_cues for at in _minutes(first_minute[cue], until.timestamp())}
    expected = minutes | set(once.items())
    with suppress(AssertionError):  # what is missing is told by the caller
        eventually(lambda: expected <= set(_read(it)), within_s=DONE_WITHIN_S, what="all executions")
    return expected


def _first_minute(it: Installation, cues: Sequence[str]) -> dict[str, float]:
    """The first whole minute after each cue was made."""
    code = (
        "import json\nfrom cues.models import Cue\n"
        "print(json.dumps({c.pk: c.created_at.timestamp() for c in Cue.objects.filter(schedule_type='recurring')}))"
    )
    created: dict[str, float] = json.loads(it.manage("shell", "--verbosity", "0", "-c", code))
    return {cue: (created[cue] // 60 + 1) * 60 for cue in cues}


def _minutes(first: float, until: float) -> list[float]:
    return [first + 60 * n for n in range(int((until - first) // 60) + 1)] if until >= first else []


def _read(it: Installation) -> list[Slot]:
    rows = json.loads(it.manage("shell", "--verbosity", "0", "-c", READ))
    return [(cue, at) for cue, at in rows]


def main(words: Sequence[str]) -> int:
    parser = arguments(__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(words)
    say(f"two beats, {options.kills} kills, seed {options.seed}, on {options.database} ({machine()})")
    with running({}, postgres=options.database == "postgres") as it, Client(it) as client:
        found = prove(it, client, kills=options.kills, rng=random.Random(options.seed))
    say(f"{found.windows} windows in the time of {found.kills} kills. {found.audit}")
    return verdict(found.faults(), f"{found.windows} windows through {found.kills} kills: 0 missing, 0 double")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
