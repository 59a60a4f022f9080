"""Does every operation answer as our own OpenAPI document says, whatever it is sent?

`python -m tests.proofs.contract [--examples 200] [--seed N] [--database postgres]`
Runs the test in `tests/flows/test_schemathesis.py` with more examples, the boundaries of every field, and the demand
that each operation succeeds at least once. `tests.support.contract` says what is called and what is checked.
"""

import os
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence

from tests.proofs.client import arguments, machine, say, verdict
from tests.support.postgres import running_postgres
from tests.support.processes import ROOT

TEST = "tests/flows/test_schemathesis.py::test_every_operation_answers_as_the_document_says"


def run(environment: Mapping[str, str]) -> int:
    """The test's exit status; it tells how far it is."""
    words = [sys.executable, "-m", "pytest", "-q", "-s", "-n0", "--tb=short", "-p", "no:cacheprovider", TEST]
    return subprocess.run(words, cwd=ROOT, env=os.environ | dict(environment)).returncode


def main(words: Sequence[str]) -> int:
    parser = arguments(__doc__)
    parser.add_argument("--examples", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args(words)
    say(f"{options.examples} examples of each operation, seed {options.seed}, on {options.database} ({machine()})")
    environment = {
        "CONTRACT_EXAMPLES": str(options.examples),
        "CONTRACT_SEED": str(options.seed),
        "LOG_LEVEL": "ERROR",
    }
    if options.database == "postgres":
        with running_postgres() as url:
            status = run(environment | {"TEST_DATABASE_URL": url})
    else:
        status = run(environment)
    return verdict(
        ["the faults above; the same seed finds them again"] if status else [],
        f"every operation kept the contract in {options.examples} examples",
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
