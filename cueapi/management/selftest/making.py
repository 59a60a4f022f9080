"""Makes the plan's cues over the API, each at its second."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

from cueapi import clock
from cueapi.management.selftest.facts import Made
from cueapi.management.selftest.kinds import MAX_ATTEMPTS
from cueapi.management.selftest.plan import Order, Plan, interval_from
from cueapi.management.selftest.problems import Unserved
from cueapi.management.selftest.server import Server

MAKERS = 4


class Maker:
    """Works in threads of its own from `start` to `finish`; `made` and `refused` grow meanwhile."""

    def __init__(self, server: Server, plan: Plan, url_of: Callable[[str], str], stopping: threading.Event) -> None:
        self.made: list[Made] = []
        self.refused: list[str] = []
        self._server, self._plan, self._url_of, self._stopping = server, plan, url_of, stopping
        self._pool = ThreadPoolExecutor(MAKERS, thread_name_prefix="maker")

    def start(self, started_s: float) -> None:
        """`started_s` is the start of the run on the monotonic clock."""
        for number, order in enumerate(self._plan.orders):
            self._pool.submit(self._make, number, order, started_s)

    @property
    def is_done(self) -> bool:
        return len(self.made) + len(self.refused) == len(self._plan.orders)

    @property
    def executions(self) -> int:
        """How many must come of the cues made so far."""
        return sum(made.executions for made in list(self.made))

    def finish(self) -> None:
        """Make no more. Returns once the calls under way have ended."""
        self._pool.shutdown(cancel_futures=True)

    def _make(self, number: int, order: Order, started_s: float) -> None:
        if self._stopping.wait(max(0.0, started_s + order.at_s - time.monotonic())):
            return
        body = cue(number, order, self._url_of(order.kind), has_cron=self._plan.has_cron, now=clock.now())
        try:
            self.made.append(Made(self._server.create_cue(body), order.kind, order.executions))
        except Unserved as refusal:
            self.refused.append(str(refusal))


def cue(number: int, order: Order, url: str, *, has_cron: bool, now: datetime) -> dict[str, Any]:
    """What is sent to make it."""
    return {
        "name": f"selftest-{number}-{order.kind}",
        "schedule": schedule(order, has_cron=has_cron, now=now),
        "callback": {"url": url},
        "retry": {"max_attempts": MAX_ATTEMPTS[order.kind], "backoff_minutes": [0]},
        "on_failure": {"email": False},
    }


def schedule(order: Order, *, has_cron: bool, now: datetime) -> dict[str, Any]:
    if order.when == "now":
        return {"type": "one-time", "at": None}
    if order.when == "later":
        return {"type": "one-time", "at": (now + timedelta(seconds=order.delay_s)).isoformat()}
    if has_cron:
        return {"type": "recurring", "cron": "* * * * *", "max_runs": order.executions}
    begin = interval_from(now).isoformat()
    return {"type": "recurring", "every": "1m", "anchor": begin, "starts_at": begin, "max_runs": order.executions}
