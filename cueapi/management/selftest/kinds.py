"""The kinds of receivers, how many of the executions go to each, and the verdict in which each must end. Pure."""

from dataclasses import dataclass

FAILS_FIRST = 2  # attempts
WEBHOOK_TIMEOUT_S = 2
HANG_S = 4.0  # longer than any attempt may take


@dataclass(frozen=True)
class Kind:
    """`stage` is why its attempts must fail (contract 6.4); empty where it must end in success."""

    name: str
    does: str
    share: float
    max_attempts: int
    stage: str = ""
    attempts_min: int = 1

    @property
    def verdict(self) -> str:
        return "failed" if self.stage else "success"


# Attempts that a kill interrupts count, so those that must succeed have some to spare.
SPARE, FEW = 9, 2

HEALTHY = Kind("healthy", "answers 200", 0.60, SPARE)
KINDS = (
    HEALTHY,
    Kind("recovers", f"fails the first {FAILS_FIRST} attempts", 0.14, SPARE, attempts_min=FAILS_FIRST + 1),
    Kind("hangs", f"answers after {HANG_S:g} s", 0.04, FEW, "timeout"),
    Kind("resets", "resets the connection", 0.05, FEW, "reply"),
    Kind("redirects", "redirects elsewhere", 0.05, FEW, "status"),
    Kind("lies", "sends less than its Content-Length", 0.04, FEW, "reply"),
    Kind("drips", "sends a byte a second", 0.04, FEW, "timeout"),
    Kind("floods", "sends headers without end", 0.04, FEW, "reply"),
)

MAX_ATTEMPTS = {kind.name: kind.max_attempts for kind in KINDS}

# Any attempt may end so, whatever its receiver: its sender was killed, or the machine is too busy.
ALWAYS_POSSIBLE = frozenset({"interrupted", "timeout"})
