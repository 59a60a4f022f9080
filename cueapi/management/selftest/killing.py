"""Kills the plan's victims with SIGKILL, each at its second, and starts them again."""

import threading
import time
from collections.abc import Sequence

from cueapi import clock
from cueapi.management.processes import Processes
from cueapi.management.selftest.facts import Kill
from cueapi.management.selftest.plan import Strike
from cueapi.management.supervisor import StartError

RECONNECT_S = 30
CALM_S = 1.0  # at least, between one victim's return and the next kill: a slow machine must get something done
LOOK_S = 0.1


class Killer:
    """Works in a thread of its own; `kills` grows meanwhile. A victim that does not come back is a problem."""

    def __init__(self, processes: Processes, strikes: Sequence[Strike], stopping: threading.Event) -> None:
        self.kills: list[Kill] = []
        self.problems: list[str] = []
        self.victim = ""  # who is down now
        self._processes, self._strikes, self._stopping = processes, strikes, stopping
        self._thread = threading.Thread(target=self._run, name="killer", daemon=True)

    def start(self, started_s: float) -> None:
        """`started_s` is the start of the run on the monotonic clock."""
        self._started_s = started_s
        self._thread.start()

    @property
    def is_done(self) -> bool:
        return not self._thread.is_alive()

    def finish(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        try:
            for strike in self._strikes:
                if self._stopping.wait(max(CALM_S, self._started_s + strike.at_s - time.monotonic())):
                    return
                self._strike(strike)
        except StartError as problem:
            if not self._stopping.is_set():
                self.problems.append(f"{self.victim} did not come back: {problem}")

    def _strike(self, strike: Strike) -> None:
        killed_at = clock.now()
        self.victim = strike.victim
        self._processes.kill(strike.victim)
        self._stopping.wait(strike.down_s)
        self._processes.start(strike.victim)
        if not self._worker_is_back():
            self.problems.append(f"The worker did not come back to its broker within {RECONNECT_S} s")
        self.kills.append(Kill(strike.victim, killed_at, clock.now()))
        self.victim = ""

    def _worker_is_back(self) -> bool:
        """A broker that is back serves nobody until the worker has noticed."""
        deadline_s = time.monotonic() + RECONNECT_S
        while not self._processes.worker_listens():
            if time.monotonic() > deadline_s:
                return False
            if self._stopping.wait(LOOK_S):
                return True
        return True
