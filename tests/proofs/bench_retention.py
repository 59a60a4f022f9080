"""What executions take on disk, and what it costs to remove them, on SQLite and on PostgreSQL.

`python -m tests.proofs.bench_retention [--executions 20000] [--databases sqlite,postgres]`
Fills a fresh installation with executions as webhooks leave them, packs the database and looks at its size. Then what
receivers answered is removed, and after that the executions, at the pace of the hourly task, while somebody else writes
fifty times a second. It fails when a step takes so long that those who wait for it would feel it.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.proofs.bench_scheduler import installation
from tests.proofs.client import machine, percentile, say, verdict

STEP_MAX_MS = 250.0  # the 99th of a hundred
INSIDE = """
import dataclasses, json
from tests.support import aged
sizes, costs = [aged.packed_bytes()], []
aged.fill({executions})
sizes.append(aged.packed_bytes())
for days in (40, 100):
    costs.append(dataclasses.asdict(aged.purge(days)))
    sizes.append(aged.packed_bytes())
print(json.dumps([sizes, costs]))
"""

HEAD = (
    "| Database | A million executions | of that, what receivers answered | Emptied in an hour | Removed in an hour "
    "| A step, p50 | p99 | A write beside it, p50 | p99 |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|"
)


@dataclass(frozen=True)
class Figures:
    database: str
    executions: int
    sizes: Sequence[int]  # bytes: empty, filled, without bodies, purged
    costs: Sequence[dict[str, Any]]  # of the bodies, of the executions

    def million_gb(self, before: int, after: int) -> float:
        return abs(self.sizes[after] - self.sizes[before]) / self.executions / 1000

    def an_hour(self, cost: int) -> float:
        return 3600 * self.executions / float(self.costs[cost]["took_s"])

    def all_ms(self, name: str, share: float) -> float:
        return percentile(sorted(ms for cost in self.costs for ms in cost[name]), share)

    def row(self) -> str:
        cells = (
            self.database,
            f"{self.million_gb(0, 1):.2f} GB",
            f"{self.million_gb(1, 2):.2f} GB",
            *(f"{self.an_hour(cost):,.0f}" for cost in (0, 1)),
            *(f"{self.all_ms(name, share):.0f} ms" for name in ("steps_ms", "writes_ms") for share in (0.5, 0.99)),
        )
        return f"| {' | '.join(cells)} |"


def measure(database: str, executions: int) -> Figures:
    with installation(database) as it:
        told = it.manage("shell", "--verbosity", "0", "-c", INSIDE.format(executions=executions))
    sizes, costs = json.loads(told.splitlines()[-1])
    return Figures(database, executions, sizes, costs)


def faults(found: Figures) -> list[str]:
    """What was not removed, or not in short steps."""
    wanted = ("response bodies", "executions")
    left = [
        f"{found.database}: {what}: {cost['removed'].get(what, 0):,} of {found.executions:,} removed"
        for what, cost in zip(wanted, found.costs, strict=True)
        if cost["removed"].get(what) != found.executions
    ]
    step_ms = found.all_ms("steps_ms", 0.99)
    return left + ([f"{found.database}: steps of {step_ms:.0f} ms"] if step_ms > STEP_MAX_MS else [])


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--executions", type=int, default=20_000)
    parser.add_argument("--databases", default="sqlite,postgres")
    options = parser.parse_args(words)
    say(f"{options.executions:,} executions, kept and purged ({machine()})")
    found = [measure(database, options.executions) for database in options.databases.split(",")]
    say("\n".join([HEAD, *(one.row() for one in found)]))
    return verdict(
        [fault for one in found for fault in faults(one)], "all was removed, in steps that keep nobody waiting"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
