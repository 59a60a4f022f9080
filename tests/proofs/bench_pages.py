"""How long the server takes for every page, with a million executions and 100,000 cues on PostgreSQL.

`python -m tests.proofs.bench_pages [--executions 1000000] [--cues 100000]`
Fills a fresh installation, then asks for each page of a large account and of the admin, with the filters that people
use, six times; the first, which also counts queries, is not timed. It fails when a page takes over 300 ms or runs 25
queries.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence

from tests.proofs.bench_scheduler import installation
from tests.proofs.client import machine, say
from tests.support.processes import ROOT

TOOK_MAX_MS = 300
INSIDE = "import sys; from tests.support import pages_asked; sys.exit(pages_asked.prove({}, {}, took_max_ms={}))"


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--executions", type=int, default=1_000_000)
    parser.add_argument("--cues", type=int, default=100_000)
    parser.add_argument("--took-max-ms", type=int, default=TOOK_MAX_MS, help="how long a page may take")
    options = parser.parse_args(words)
    say(f"Filling PostgreSQL with {options.cues:,} cues and {options.executions:,} executions ({machine()})")
    with installation("postgres") as it:
        it.start("broker")
        shell = [sys.executable, "manage.py", "shell", "--verbosity", "0", "-c"]
        inside = INSIDE.format(options.cues, options.executions, options.took_max_ms)
        return subprocess.call([*shell, inside], cwd=ROOT, env=dict(it.environment))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
