"""`manage.py selftest`: the user's own proof, on their own machine and configuration, with real processes and kills."""

import secrets
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from cueapi.conf import conf
from cueapi.management.selftest import report, run, scratch
from cueapi.management.selftest.problems import SelftestError
from cueapi.management.selftest.report import Screen
from cueapi.management.selftest.run import Options
from cueapi.management.selftest.stopping import Stopping
from cueapi.management.supervisor import StartError

EXECUTIONS, KILLS = 3000, 12
QUICK_EXECUTIONS, QUICK_KILLS = 200, 3
LEAST = 50  # executions, so that each kind of receiver gets some
INTERRUPTED = 130  # what a shell calls the exit status after Ctrl-C


class Command(BaseCommand):
    help = "Prove it here: thousands of executions through kills of worker, beat and broker, in a scratch installation."
    requires_system_checks = []  # it needs nothing of this process but the settings

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--executions", type=int, help=f"{EXECUTIONS} by default, {QUICK_EXECUTIONS} with --quick")
        parser.add_argument("--kills", type=int, help=f"{KILLS} by default, {QUICK_KILLS} with --quick")
        parser.add_argument("--seed", type=int, help="of the plan; drawn by default, and printed")
        parser.add_argument("--quick", action="store_true", help="some 40 seconds, for continuous integration")

    def handle(self, *args: Any, **options: Any) -> None:
        if status := self._status(chosen(options)):
            raise SystemExit(status)

    def _status(self, options: Options) -> int:
        """The exit status; the verdict is the last line that is printed."""
        screen = Screen(self.stdout, is_terminal=self.stdout.isatty())
        folder = scratch.make_folder()
        try:
            faults = prove(folder, options, screen)
        except (SelftestError, StartError) as problem:
            screen.end_progress()
            faults = [str(problem)]
        except KeyboardInterrupt:
            scratch.forget(folder)
            screen.end_progress()
            screen.line("STOPPED: no verdict. The processes, the database and the folder of the test are removed.")
            return INTERRUPTED
        if faults:
            screen.line(report.failed(faults, kept=keep(folder), seed=options.seed))
            return 1
        scratch.forget(folder)
        return 0


def prove(folder: Path, options: Options, screen: Screen) -> list[str]:
    """Make the run and tell its findings; the faults among them.

    Raises SelftestError and StartError when it cannot be made, KeyboardInterrupt when the user stops it.
    """
    installation = scratch.installation(conf(), folder, is_quick=options.is_quick)
    with Stopping() as stopping, installation as it, stopping.armed():
        for line in run.first_lines(it, options):
            screen.line(line)
        found = run.run(it, options, screen)
    screen.line(report.findings_told(found))
    screen.line()
    if not found.faults():
        screen.line(report.passed(found))
    return found.faults()


def chosen(options: dict[str, Any]) -> Options:
    is_quick = bool(options["quick"])
    executions, kills, seed = options["executions"], options["kills"], options["seed"]
    return Options(
        executions=max(LEAST, (QUICK_EXECUTIONS if is_quick else EXECUTIONS) if executions is None else executions),
        kills=max(0, (QUICK_KILLS if is_quick else KILLS) if kills is None else kills),
        seed=secrets.randbelow(1_000_000) if seed is None else seed,
        is_quick=is_quick,
    )


def keep(folder: Path) -> Path | None:
    """The folder, if there is a log in it to read."""
    if any(log.stat().st_size for log in folder.glob("*.log")):
        return folder
    scratch.forget(folder)
    return None
