"""Round after round of the selftest, each drawn from a seed of its own: `kill -9` of worker, beat and broker at random.

`python -m tests.proofs.rounds [--rounds 20] [--first 1] [--executions 2000] [--kills 4] [--database postgres]`
Each round is a fresh installation; on PostgreSQL each has a database of its own on one private server. What a round
that fails leaves behind, its output says. PostgreSQL itself is killed by `tests.proofs.kill --victims postgres`.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence

from tests.proofs.client import arguments, machine, say, verdict
from tests.support.postgres import SURVIVES_A_KILL, postgres_server
from tests.support.processes import ROOT


def play(seed: int, *, executions: int, kills: int, database_url: str) -> subprocess.CompletedProcess[str]:
    options = ["--executions", str(executions), "--kills", str(kills), "--seed", str(seed)]
    return subprocess.run(
        [sys.executable, "manage.py", "selftest", *options],
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": database_url},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def main(words: Sequence[str]) -> int:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--first", type=int, default=1, help="the seed of the first round")
    parser.add_argument("--executions", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=4, help="in each round")
    options = parser.parse_args(words)
    faults = []
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(postgres_server(SURVIVES_A_KILL)) if options.database == "postgres" else None
        for seed in range(options.first, options.first + options.rounds):
            url = server.url if server else ""
            done = play(seed, executions=options.executions, kills=options.kills, database_url=url)
            said = done.stdout.splitlines()[-1:] or [done.stderr[-500:]]
            say(f"round {seed} on {options.database} ({machine()}): {said[0]}")
            if done.returncode:
                say(done.stdout + done.stderr)
                faults.append(f"round {seed} failed")
    return verdict(faults, f"{options.rounds} rounds of {options.executions} executions and {options.kills} kills")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
