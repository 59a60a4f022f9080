"""A simulated time in the life of two cues, with everything that goes wrong in a year.

The scheduler's watch, firing and the services are the real ones, on a real broker and database; they are told what time
it is. What goes wrong, and when, hangs on the seed.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django_celery_beat.models import PeriodicTask
from kombu import Connection

from cueapi import accounts
from cues import services
from cues.beat import Watch
from cues.models import Cue, LedgerEntry
from executions import audit as auditor
from executions import firing, recovery
from executions.models import Execution

START = datetime(2026, 12, 1, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = (timedelta(seconds=n) for n in (1, 60, 3600, 86_400))
SWEEP_EVERY = 5 * SECOND
LOST, TWICE = 0.02, 0.05  # shares of messages
DONE, RESUMED = 0.3, 0.2  # shares of steps after which the work is done, or somebody looks for what is paused
TROUBLE_EVERY = 5 * HOUR  # on average
MONTH = 30 * DAY


@dataclass
class Machines:
    """What runs at the moment; two beats with nothing in memory at a start, and the workers."""

    beats: list[Any]
    beats_back_at: list[datetime]
    workers_back_at: datetime
    swept_at: datetime = START


@dataclass
class Year:
    """One simulated time. `happened` counts what went wrong."""

    cues: list[Cue]
    rng: random.Random
    now: datetime = START
    happened: Counter[str] = field(default_factory=Counter)
    trouble_at: datetime = START

    def __post_init__(self) -> None:
        self._machines = Machines(beats=[Watch(), Watch()], beats_back_at=[START, START], workers_back_at=START)
        self._troubles: list[Callable[[], None]] = [
            self._beat_outage,
            self._beats_outage,
            self._beat_restart,
            self._worker_outage,
            self._broker_loses_all,
            self._edit,
            self._edit,
            self._pause,
            self._operator_switches_off,
        ]

    def live(self, until: datetime, tell: Callable[[str], object] = str) -> None:
        """Let the time pass; `tell` hears how far it is, once a month."""
        told_at = self.now
        while self.now < until:
            self._step()
            self.now = min(until, self._next_instant())
            if self.now - told_at >= MONTH:
                told_at = self.now
                tell(f"{self.now:%Y-%m-%d}: {sum(self.happened.values())} things went wrong or were changed")
        self._recover()

    def _step(self) -> None:
        if self.now >= self.trouble_at:
            self.rng.choice(self._troubles)()
            self.trouble_at = self.now + TROUBLE_EVERY * self.rng.expovariate(1)
        for beat, back_at in zip(self._machines.beats, self._machines.beats_back_at, strict=True):
            if back_at <= self.now:
                beat.tick(self.now)
        if self._machines.workers_back_at <= self.now:
            self._work()
        if self.rng.random() < DONE:
            self._end_all(self.rng.choice(self.cues))
        if self.rng.random() < RESUMED:
            self._resume()

    def _next_instant(self) -> datetime:
        """The next at which something may happen, and up to two seconds more: nobody is exactly on time."""

        instants = [self.now + HOUR, self.trouble_at, self._machines.workers_back_at, *self._machines.beats_back_at]
        instants += Cue.objects.filter(next_run__isnull=False).values_list("next_run", flat=True)
        after = min((instant for instant in instants if instant > self.now), default=self.now + HOUR)
        late = self.rng.choice([0.0, 0.0, 0.3, 2.0]) * self.rng.random()
        return max(after, self.now + SECOND) + timedelta(seconds=late)

    def _work(self) -> None:
        """Fire what the broker brings, less what is lost and some of it twice; then sweep."""

        for cue_ids in self._messages():
            for _ in range(self._deliveries()):
                firing.fire_due(cue_ids, now=self.now + timedelta(seconds=self.rng.random()))
        if self.now >= self._machines.swept_at + SWEEP_EVERY:
            self._machines.swept_at = self.now
            recovery.fire_overdue(self.now)
            recovery.follow_switches(self.now)

    def _messages(self) -> Iterator[list[str]]:

        with Connection(settings.CUEAPI.broker_url) as connection:
            channel = connection.default_channel
            while (message := channel.basic_get("fire", no_ack=True)) is not None:
                yield message.decode()[1]["cue_ids"]

    def _deliveries(self) -> int:
        draw = self.rng.random()
        if draw < LOST:
            self.happened["message lost"] += 1
            return 0
        if draw < LOST + TWICE:
            self.happened["message twice"] += 1
            return 2
        return 1

    # --- Trouble ------------------------------------------------------------------------------------------------

    def _for_a_while(self) -> datetime:
        return self.now + self.rng.choice([MINUTE, 10 * MINUTE, 3 * HOUR, DAY]) * self.rng.random()

    def _beat_outage(self) -> None:
        self._stop_beat(self.rng.randrange(2), self._for_a_while())
        self.happened["a beat was down"] += 1

    def _beats_outage(self) -> None:
        back_at = self._for_a_while()
        for number in range(2):
            self._stop_beat(number, back_at)
        self.happened["both beats were down"] += 1

    def _stop_beat(self, number: int, back_at: datetime) -> None:
        self._machines.beats[number] = Watch()
        self._machines.beats_back_at[number] = back_at

    def _beat_restart(self) -> None:
        self._stop_beat(self.rng.randrange(2), self.now)
        self.happened["a beat was restarted"] += 1

    def _worker_outage(self) -> None:
        self._machines.workers_back_at = self._for_a_while()
        self.happened["the workers were down"] += 1

    def _broker_loses_all(self) -> None:
        self.happened["the broker lost all messages"] += 1
        for _ in self._messages():
            pass

    def _edit(self) -> None:

        cue = self.rng.choice(self.cues)
        self._end_all(cue)  # else a choice of overlap would meet a year of work that nobody did
        services.update(cue.account, cue.pk, self._some_change(cue), now=self.now)
        self.happened["a cue was edited"] += 1

    def _some_change(self, cue: Cue) -> dict[str, Any]:
        daily = cue is self.cues[1]
        own: list[dict[str, Any]] = (
            [
                *({"cron": cron} for cron in ("30 2 * * *", "30 1 * * *")),
                *({"timezone": zone} for zone in ("America/New_York", "Australia/Lord_Howe")),
                *({"dst": dst} for dst in ("default", "skip", "both")),
            ]
            if daily
            else [{"cron": "*/5 * * * *"}, {"cron": "2-59/5 * * * *"}, {"every": "5m"}, {"every": "7m"}]
        )
        rules = [{"jitter_seconds": n} for n in (0, 45, 600)] + [{"overlap": o} for o in ("allow", "skip", "queue")]
        if self.rng.random() < 0.2:
            return {"catch_up": self.rng.choice(["skip_missed", "run_once_if_missed", "replay_all_missed"])}
        return {"schedule": self.rng.choice([*own, *rules])}

    def _pause(self) -> None:

        cue = self.rng.choice(self.cues)
        services.update(cue.account, cue.pk, {"status": "paused"}, now=self.now)
        self.happened["a cue was paused"] += 1

    def _operator_switches_off(self) -> None:
        """In bulk, as the admin's action does, which tells nobody."""

        PeriodicTask.objects.filter(name=self.cues[0].pk).update(enabled=False)
        self.happened["an operator switched a cue off"] += 1

    def _resume(self) -> None:
        for cue in Cue.objects.filter(status="paused"):
            services.update(cue.account, cue.pk, {"status": "active"}, now=self.now)
            self.happened["a cue was resumed"] += 1

    def _end_all(self, cue: Cue) -> None:
        """Somebody did all the work."""

        Execution.objects.filter(cue=cue, closed_at=None).update(
            status="success", closed_at=self.now, due_at=None, is_held=False
        )

    def _recover(self) -> None:
        """All is up again, and nobody is paused."""

        self._machines.workers_back_at, self._machines.beats_back_at = self.now, [self.now, self.now]
        for _ in range(40):
            self._step_quietly()
        for cue in self.cues:
            services.update(cue.account, cue.pk, {"status": "active"}, now=self.now)

    def _step_quietly(self) -> None:
        self.trouble_at = self.now + DAY
        self.now += SWEEP_EVERY
        self._step()


def begin(seed: int) -> Year:
    """The two cues, at the start of their time."""

    owner, _ = accounts.register(f"year-{seed}@example.org", now=START)
    crons = {"every five minutes": ("*/5 * * * *", "UTC"), "at half past two": ("30 2 * * *", "America/New_York")}
    cues = [
        services.create(
            owner, {"name": name, "transport": "worker", "schedule": {"cron": cron, "timezone": zone}}, now=START
        ).cue
        for name, (cron, zone) in crons.items()
    ]
    return Year(cues, random.Random(seed))


def audit(year: Year) -> auditor.Report:
    """What the auditor says of the whole time, a month at a time."""

    report, since = auditor.Report(), START
    while since < year.now:
        until = min(since + MONTH, year.now)
        part = auditor.audit(year.cues, since=since, until=until, now=year.now)
        report.windows += part.windows
        report.findings += part.findings
        since = until + timedelta(microseconds=1)
    return report


def verdicts(year: Year) -> Counter[str]:
    """How many windows came to each end."""

    found: Counter[str] = Counter()
    for told, windows in LedgerEntry.objects.filter(cue__in=year.cues).values_list("verdict", "windows"):
        found[told] += windows
    return found
