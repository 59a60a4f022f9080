"""What the parts of the test tell each other: what was asked for, what came, what was killed, what the server says."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class Made:
    """A cue that the server took, and how many executions it must have in the end."""

    cue_id: str
    kind: str
    executions: int = 1


@dataclass(frozen=True)
class Request:
    """One webhook as it arrived. `accepted`: it was answered 2xx in time."""

    kind: str
    execution_id: str
    cue_id: str
    attempt: int
    due_at: datetime
    arrived_at: datetime
    accepted: bool
    is_signed: bool = True


@dataclass(frozen=True)
class Kill:
    """`ready_at` is when the process was back, and what hangs on it too."""

    victim: str
    at: datetime
    ready_at: datetime


@dataclass(frozen=True)
class Attempt:
    """As the server recorded it. `stage` is why it failed; empty after a 2xx."""

    number: int
    stage: str


@dataclass(frozen=True)
class Life:
    """One execution as the server tells it."""

    execution_id: str
    cue_id: str
    status: str
    attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """All that the judge sees."""

    planned: int  # executions
    made: tuple[Made, ...]
    refused: tuple[str, ...]  # what the server answered where it did not take a cue
    lives: tuple[Life, ...]
    requests: tuple[Request, ...]
    kills: tuple[Kill, ...]
    strayed: int = 0  # requests that no cue names, such as a redirect that was followed
    problems: tuple[str, ...] = field(default=())  # what else went wrong on the way
