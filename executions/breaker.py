"""The circuit breaker of a destination. Pure: how it stands and what came back in, how it stands now out.

closed ── so many failures in a row ──▶ open ── its wait is over, one probe goes out ──▶ half-open
half-open ── the probe is answered ──▶ closed, one request at a time, one more for each that is answered
half-open ── it is not ──▶ open, for twice as long
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from executions.states import BreakerState

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


@dataclass(frozen=True)
class Limits:
    """`failures` in a row open it; 0 is never. Probes wait `probe`, then twice as long each time, up to `probe_max`."""

    failures: int
    probe: timedelta
    probe_max: timedelta
    concurrency: int  # requests at a time to a destination in good health

    def wait(self, probes: int) -> timedelta:
        """Before the next probe, after so many failed ones."""
        return min(self.probe * int(2 ** min(probes, 20)), self.probe_max)


@dataclass(frozen=True)
class Breaker:
    """How a destination stands. `failures` are those in a row."""

    state: BreakerState = CLOSED
    failures: int = 0
    allowed: int | None = None  # requests at a time while it recovers; None: as many as the limits say
    opened_at: datetime | None = None
    probe_at: datetime | None = None  # when the next probe may go; None of an open one: somebody opened it by hand
    probes: int = 0  # that failed since it opened

    @property
    def is_holding(self) -> bool:
        """Whether what is due waits for it."""
        return self.state != CLOSED

    @property
    def is_open_by_hand(self) -> bool:
        return self.state == OPEN and self.probe_at is None

    def room(self, limits: Limits, *, now: datetime) -> int:
        """How many requests may be in flight at `now`."""
        if self.state == CLOSED:
            return limits.concurrency if self.allowed is None else min(self.allowed, limits.concurrency)
        return int(self.probe_at is not None and self.probe_at <= now)

    def probing(self, *, lost_at: datetime) -> "Breaker":
        """A probe goes out. If it is not heard of by `lost_at`, another may."""
        return replace(self, state=HALF_OPEN, probe_at=lost_at)

    def after(self, answers: Iterable[bool], limits: Limits, *, now: datetime) -> "Breaker":
        """How it stands after these attempts, in their order: True for one that was answered."""
        breaker = self
        for answered in answers:
            breaker = breaker._answered(limits) if answered else breaker._failed(limits, now=now)
        return breaker

    def _answered(self, limits: Limits) -> "Breaker":
        if self.state == OPEN:
            return self  # a request from before it opened; the probe decides
        allowed = 1 if self.state == HALF_OPEN else self.allowed
        recovering = allowed is not None and allowed + 1 < limits.concurrency
        return Breaker(allowed=allowed + 1 if recovering and allowed is not None else None)

    def _failed(self, limits: Limits, *, now: datetime) -> "Breaker":
        if self.state == OPEN or not limits.failures:
            return self
        if self.state == HALF_OPEN:
            return self._open(limits, probes=self.probes + 1, now=now)
        failing = replace(self, failures=self.failures + 1)
        threshold = limits.failures if self.allowed is None else min(limits.failures, self.allowed)
        return failing._open(limits, probes=0, now=now) if failing.failures >= threshold else failing

    def _open(self, limits: Limits, *, probes: int, now: datetime) -> "Breaker":
        return replace(
            self,
            state=OPEN,
            failures=max(self.failures, 1),
            allowed=None,
            opened_at=self.opened_at or now,
            probe_at=now + limits.wait(probes),
            probes=probes,
        )

    def opened_by_hand(self, *, now: datetime) -> "Breaker":
        """Nothing goes out until it is closed by hand."""
        return Breaker(OPEN, failures=self.failures, opened_at=self.opened_at or now)

    def closed_by_hand(self) -> "Breaker":
        """Requests go out again, few at first."""
        return Breaker(allowed=1)
