"""Does every window of a year get exactly one verdict, through outages, restarts, lost messages and edits?

`python -m tests.proofs.year [--days 365] [--seed 1] [--database postgres]`
Two cues, `*/5` and 02:30 in New York, under a simulated clock (tests.support.simulation). At the end the auditor looks
at the whole time.
"""

import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import django
from django.test.runner import DiscoverRunner

from tests.proofs.client import arguments, machine, say, verdict
from tests.support.postgres import running_postgres
from tests.support.valkey import running_valkey


@contextmanager
def empty_installation(database: str) -> Iterator[None]:
    """Django set up on an empty database of its own, with a broker."""
    with tempfile.TemporaryDirectory(prefix="cueapi-year-") as var_dir:
        os.environ["TEST_VAR_DIR"] = var_dir
        os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
        if database == "postgres":
            with running_postgres() as url:
                os.environ["TEST_DATABASE_URL"] = url
                yield from _set_up(var_dir)
        else:
            yield from _set_up(var_dir)


def _set_up(var_dir: str) -> Iterator[None]:
    django.setup()
    runner = DiscoverRunner(verbosity=0, interactive=False)
    databases = runner.setup_databases()
    try:
        with running_valkey(Path(var_dir)):
            yield
    finally:
        runner.teardown_databases(databases)


def told(counts: Counter[str]) -> str:
    return ", ".join(f"{count} × {what}" for what, count in counts.most_common())


def main(words: Sequence[str]) -> int:
    parser = arguments(__doc__)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(words)
    with empty_installation(options.database):
        life = import_module("tests.support.simulation")  # reads the settings
        say(f"{options.days} days from {life.START:%Y-%m-%d}, seed {options.seed}, {options.database} ({machine()})")
        started = time.monotonic()
        year = life.begin(options.seed)
        year.live(life.START + options.days * life.DAY, say)
        report, ends = life.audit(year), life.verdicts(year)
    say(f"lived in {time.monotonic() - started:.0f} s: " + told(year.happened))
    say("windows: " + told(ends))
    for finding in report.findings[:20]:
        say(str(finding))
    faults = [f"{report.count(kind)} {kind}" for kind in ("missing", "double", "unexplained") if report.count(kind)]
    return verdict(faults, f"{report.windows} windows, each with one verdict: 0 missing, 0 double, 0 unexplained")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
