"""What is to happen when, drawn from a seed: which cue is made at which second, and which process dies when. Pure."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from cueapi.management.selftest.kinds import HEALTHY, KINDS

VICTIMS = ("worker", "beat", "broker")

PER_SECOND = 40  # executions that come due
SPAN_MIN_S = 8.0
MADE_BY = 0.75  # share of the span in which cues are made
KILLS_FROM = 0.25  # before it everything runs undisturbed
RECURRING_SHARE = 0.1
LATER_SHARE = 0.55  # the others run at once
LATER_MIN_S = 2.0
DOWN_MIN_S, DOWN_MAX_S = 0.2, 1.5

MINUTE_S = 60

When = Literal["now", "later", "recurring"]


@dataclass(frozen=True)
class Order:
    """A cue to make `at_s` after the start; `delay_s` later it is due, if it is one for later."""

    at_s: float
    kind: str
    when: When
    delay_s: float = 0.0
    executions: int = 1


@dataclass(frozen=True)
class Strike:
    """A process to kill `at_s` after the start, and for how long it stays down."""

    at_s: float
    victim: str
    down_s: float


@dataclass(frozen=True)
class Plan:
    seed: int
    span_s: float
    orders: tuple[Order, ...]
    strikes: tuple[Strike, ...]
    has_cron: bool  # else the recurring cues have an interval that begins within the run

    @property
    def executions(self) -> int:
        return sum(order.executions for order in self.orders)


def draw(*, seed: int, executions: int, kills: int, is_quick: bool, now: datetime) -> Plan:
    """The whole run. The same seed gives the same plan, but for the minutes that begin within it."""
    rng = random.Random(seed)  # noqa: S311 - nothing here is secret
    span_s = max(SPAN_MIN_S, executions / PER_SECOND)
    runs = 1 if is_quick else minutes_within(span_s, now=now)
    return Plan(seed, span_s, tuple(_orders(executions, span_s, runs, rng)), _strikes(kills, span_s, rng), not is_quick)


def minutes_within(span_s: float, *, now: datetime) -> int:
    """How often a minute cron made in the first seconds runs within the span; at least once."""
    left_s = span_s - (MINUTE_S - (now.timestamp() % MINUTE_S))
    return max(1, 1 + int(left_s // MINUTE_S))


def _orders(executions: int, span_s: float, runs: int, rng: random.Random) -> list[Order]:
    recurring = round(RECURRING_SHARE * executions / runs)
    first = [Order(0.0, HEALTHY.name, "recurring", executions=runs) for _ in range(recurring)]
    kinds = _kinds(executions - recurring * runs, taken=recurring * runs)
    rng.shuffle(kinds)
    step_s = MADE_BY * span_s / max(1, len(kinds))
    return first + [_single(kind, number * step_s, span_s, rng) for number, kind in enumerate(kinds)]


def _single(kind: str, at_s: float, span_s: float, rng: random.Random) -> Order:
    if rng.random() > LATER_SHARE:
        return Order(at_s, kind, "now")
    return Order(at_s, kind, "later", rng.uniform(LATER_MIN_S, max(LATER_MIN_S, (1 - MADE_BY) * span_s)))


def _kinds(count: int, *, taken: int) -> list[str]:
    """The kind of each execution, by their shares, at least one of each; `taken` are healthy already."""
    odd = [kind.name for kind in KINDS[1:] for _ in range(max(1, round(kind.share * (count + taken))))]
    return [*odd, *[HEALTHY.name] * (count - len(odd))][:count]


def _strikes(kills: int, span_s: float, rng: random.Random) -> tuple[Strike, ...]:
    times = sorted(rng.uniform(KILLS_FROM * span_s, span_s) for _ in range(kills))
    victims = _evenly(VICTIMS, kills)
    rng.shuffle(victims)
    return tuple(
        Strike(at_s, victim, rng.uniform(DOWN_MIN_S, DOWN_MAX_S)) for at_s, victim in zip(times, victims, strict=True)
    )


def _evenly(names: Sequence[str], count: int) -> list[str]:
    return [names[number % len(names)] for number in range(count)]


def interval_from(now: datetime) -> datetime:
    """When an interval that stands in for a minute cron begins."""
    return now + timedelta(seconds=SPAN_MIN_S / 2)
