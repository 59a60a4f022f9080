"""What beat costs, and how late it is, with a thousand, a hundred thousand and a million recurring cues.

`python -m tests.proofs.bench_scheduler [--sizes 1000,100000,1000000] [--databases sqlite,postgres] [--seconds 120]`
1 % of the cues are due within a minute, each at a second of its own, and five schedules a second are changed through
the API. All processes are real. Lateness is from the due time to the instant at which the worker makes the execution.
"""

import argparse
import json
import os
import random
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.proofs.client import Client, machine, percentile, say, verdict
from tests.support.filler import fill
from tests.support.postgres import running_postgres
from tests.support.processes import Installation

CHANGES_PER_S = 5
SETTLE_S = 10
KEPT_MAX = 4000  # executions that the figures are made of
LATENESS_MAX_MS, MEMORY_MAX_MB, LIMITED_SIZE = 250, 150, 100_000
GROWTH_MAX = 2.0
NOISE = {"memory_mb": 10.0, "cpu": 0.02, "p50_ms": 15.0, "p99_ms": 60.0, "change_ms": 8.0}
"""Differences below these tell of the machine, not of the number of cues."""
WORDS = {"memory_mb": "memory", "cpu": "CPU share", "p50_ms": "p50", "p99_ms": "p99", "change_ms": "cost of a change"}

LIMITS = {"DEFAULT_PLAN": "unlimited", "WORKER_UNCLAIMED_TIMEOUT_SECONDS": "86400", "DISABLE_QUOTA_ENFORCEMENT": "true"}
TEMPLATE = {"every": "100m", "starts_at": "2026-01-01T00:00:00Z"}
SHAPE = {"type": "recurring", "cron": "0 0 1 1 *"}

READ_LATENESS = """
import json
from datetime import datetime, timezone
from executions.models import Execution
since = datetime.fromtimestamp({since}, timezone.utc)
rows = Execution.objects.filter(scheduled_for__gte=since, triggered_by="scheduled")
times = rows.values_list("created_at", "scheduled_for")
print(json.dumps([round((made - due).total_seconds() * 1000, 1) for made, due in times]))
"""


@dataclass(frozen=True)
class Figures:
    """One size on one database. `cpu` is beat's share of one core."""

    database: str
    cues: int
    fired: int
    memory_mb: float
    cpu: float
    p50_ms: float
    p99_ms: float
    change_ms: float  # median of a PATCH over HTTP

    def row(self) -> str:
        return (
            f"| {self.database} | {self.cues:,} | {self.fired:,} | {self.memory_mb:.0f} MB | {self.cpu:.1%} "
            f"| {self.p50_ms:.0f} ms | {self.p99_ms:.0f} ms | {self.change_ms:.1f} ms |"
        )


HEAD = (
    "| Database | Cues | Fired | Beat's memory | Beat's CPU | Late p50 | Late p99 | A change |\n"
    "|---|---:|---:|---:|---:|---:|---:|---:|"
)


def measure(database: str, cues: int, seconds: float) -> Figures:
    """Fill a fresh installation, let it run and look."""
    with installation(database) as it:
        it.start("broker")
        it.start("web")
        with Client(it) as client:
            client.post("/v1/cues", {"name": "crontab", "transport": "worker", "schedule": SHAPE})
            cue = client.post("/v1/cues", {"name": "template", "transport": "worker", "schedule": TEMPLATE})
        it.stop("web")
        say(f"{database}, {cues:,} cues: filling")
        fill(it.database_url, cue["id"], cues=cues, now=datetime.now(UTC))
        for name in ("web", "worker", "beat"):
            it.start(name)
        time.sleep(SETTLE_S)
        say(f"{database}, {cues:,} cues: measuring for {seconds:.0f} s")
        return observe(it, database, cues, seconds)


def observe(it: Installation, database: str, cues: int, seconds: float) -> Figures:
    since, cpu_before = time.time(), cpu_seconds(it.pid("beat"))
    changes = Changes(it, cues)
    changes.start()
    time.sleep(seconds)
    changes.stop()
    used = cpu_seconds(it.pid("beat")) - cpu_before
    elapsed = time.time() - since
    memory_mb = resident_mb(it.pid("beat"))
    lateness = sorted(read_lateness(it, since))
    assert lateness, "nothing was due in this time: measure for longer"
    return Figures(
        database,
        cues,
        fired=len(lateness),
        memory_mb=memory_mb,
        cpu=used / elapsed,
        p50_ms=percentile(lateness, 0.5),
        p99_ms=percentile(lateness, 0.99),
        change_ms=percentile(sorted(changes.took_ms), 0.5),
    )


class Changes(threading.Thread):
    """Changes the schedule of a cue, so many times a second, until it is told to stop."""

    def __init__(self, it: Installation, cues: int) -> None:
        super().__init__(daemon=True)
        self._it, self._cues, self._rng = it, cues, random.Random(1)
        self._stopping = threading.Event()
        self.took_ms: list[float] = []

    def run(self) -> None:
        with Client(self._it) as client:
            next_at = time.monotonic()
            while not self._stopping.wait(max(0.0, next_at - time.monotonic())):
                next_at += 1 / CHANGES_PER_S
                self._change(client)

    def stop(self) -> None:
        self._stopping.set()
        self.join()

    def _change(self, client: Client) -> None:
        cue_id = f"cue_{self._rng.randint(1, self._cues):012d}"
        cron = f"{self._rng.randrange(60)} {self._rng.randrange(24)} {self._rng.randint(1, 28)} * *"
        started = time.perf_counter()
        client.patch(f"/v1/cues/{cue_id}", {"schedule": {"type": "recurring", "cron": cron}})
        self.took_ms.append((time.perf_counter() - started) * 1000)


def read_lateness(it: Installation, since: float) -> list[float]:
    found: list[float] = json.loads(it.manage("shell", "--verbosity", "0", "-c", READ_LATENESS.format(since=since)))
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of the process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def installation(database: str) -> Iterator[Installation]:
    if database == "postgres":
        with running_postgres() as url, Installation({**LIMITS, "DATABASE_URL": url}) as it:
            yield it
    else:
        with Installation(LIMITS) as it:
            yield it


# --- Verdict ----------------------------------------------------------------------------------------------------


def faults(found: Sequence[Figures]) -> list[str]:
    """What is above its limit, or grows with the number of cues."""
    told = []
    for one in found:
        name = f"{one.database}, {one.cues:,} cues"
        if one.cues <= LIMITED_SIZE and one.p99_ms > LATENESS_MAX_MS:
            told.append(f"{name}: p99 of {one.p99_ms:.0f} ms is over {LATENESS_MAX_MS}")
        if one.cues <= LIMITED_SIZE and one.memory_mb > MEMORY_MAX_MB:
            told.append(f"{name}: {one.memory_mb:.0f} MB is over {MEMORY_MAX_MB}")
    for database in dict.fromkeys(one.database for one in found):
        sizes = sorted((one for one in found if one.database == database), key=lambda one: one.cues)
        told += growth(sizes[0], sizes[-1])
    return told


def growth(small: Figures, large: Figures) -> list[str]:
    """The figures that more than double from the smallest to the largest size."""
    grown = []
    for name, noise in NOISE.items():
        before, after = getattr(small, name), getattr(large, name)
        if after > GROWTH_MAX * max(before, noise):
            grown.append(f"{large.database}: {WORDS[name]} grows from {before:.3g} to {after:.3g}")
    return grown


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="1000,100000,1000000")
    parser.add_argument("--databases", default="sqlite,postgres")
    parser.add_argument("--seconds", type=float, default=120)
    options = parser.parse_args(words)
    say(f"beat with many cues ({machine()})")
    found = []
    for database in options.databases.split(","):
        for size in options.sizes.split(","):
            found.append(measure(database, int(size), options.seconds))
            say(found[-1].row())
    say("\n".join([HEAD, *(one.row() for one in found)]))
    return verdict(faults(found), "lateness, memory, CPU and the cost of a change keep their limits at every size")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
