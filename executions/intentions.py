"""What firing, pausing or resuming a cue would do now, in a sentence each. Reads; the services act."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from cueapi import usage
from cueapi.clock import utc_text
from cueapi.errors import ApiError, InvalidSchedule, InvalidTimezone
from cues import foresight
from cues.models import Cue, CueStatus, Overlap, Transport
from executions import firing, workers
from executions.breaker import CLOSED
from executions.models import Destination, Execution

COUNTED_MAX = 100  # executions that have not ended


@dataclass(frozen=True)
class Intention:
    """An action, what it would do, or why it cannot be done now."""

    action: str
    label: str
    sentence: str
    is_possible: bool = True


def of(cue: Cue, *, now: datetime) -> list[Intention]:
    """The actions that make sense for the cue as it is; at most five queries."""
    unended = Execution.objects.filter(cue=cue, closed_at=None)[: COUNTED_MAX + 1].count()
    return [_fire(cue, unended, now=now), *_switch(cue, unended, now=now)]


# --- Fire -------------------------------------------------------------------------------------------------------


def _fire(cue: Cue, unended: int, *, now: datetime) -> Intention:
    try:
        firing.check(cue, firing.ManualFire())
    except ApiError as error:
        how = f"Fire it with a payload of its own, or with POST /v1/cues/{cue.pk}/fire."
        return Intention("fire", "Fire now", f"{error.message} {how}", is_possible=False)
    return Intention("fire", "Fire now", " ".join(_firing(cue, unended, now=now)))


def _firing(cue: Cue, unended: int, *, now: datetime) -> Iterator[str]:
    yield f"Makes one execution beside the schedule, {_way(cue, now=now)}."
    if usage.is_refused(cue.account, now=now):
        yield f"It would end as failed: {usage.REFUSAL}"
    if cue.overlap == Overlap.ALLOW:
        return
    if unended:
        yield f"It does not wait for {_counted(unended)}: overlap is about the schedule only."
    meanwhile = "wait" if cue.overlap == Overlap.QUEUE else "are skipped"
    yield f"Until it has ended, windows of the schedule {meanwhile}, because overlap is {cue.overlap}."


def _way(cue: Cue, *, now: datetime) -> str:
    if cue.transport == Transport.WORKER:
        alive = workers.is_alive(cue.account_id, None, now=now)
        return "for a worker to claim at once" if alive else "which waits for a worker: none is alive now"
    closed = Destination.objects.filter(account=cue.account_id, lane=cue.lane).exclude(state=CLOSED).first()
    if closed is not None:
        until = "answers again" if closed.probe_at else "is closed by hand"
        return f"which waits until the circuit breaker of {cue.lane} {until}"
    if cue.rate_per_minute:
        return f"sent to {cue.lane} as soon as its rate of {cue.rate_per_minute} attempts a minute allows"
    return f"sent to {cue.lane} at once"


# --- Pause and resume -------------------------------------------------------------------------------------------


def _switch(cue: Cue, unended: int, *, now: datetime) -> Iterator[Intention]:
    if cue.status == CueStatus.ACTIVE:
        yield Intention("pause", "Pause", " ".join(_pausing(cue, unended)))
    if cue.status == CueStatus.PAUSED:
        yield _resume(cue, now=now)


def _pausing(cue: Cue, unended: int) -> Iterator[str]:
    if cue.next_run is None:
        yield "Nothing is due, so this stops nothing."
    elif cue.is_recurring:
        yield f"The next run, at {utc_text(cue.next_run)}, does not happen."
        yield "Windows that pass while it is paused are skipped."
    else:
        yield f"It does not run at {utc_text(cue.next_run)}. Once that has passed, catch_up ({cue.catch_up}) decides."
    if unended:
        yield f"A pause does not stop {_counted(unended)}."


def _resume(cue: Cue, *, now: datetime) -> Intention:
    try:
        return Intention("resume", "Resume", foresight.of_resume(cue, now=now).message)
    except (InvalidSchedule, InvalidTimezone) as error:
        return Intention("resume", "Resume", error.message, is_possible=False)


def _counted(unended: int) -> str:
    if unended > COUNTED_MAX:
        return f"the more than {COUNTED_MAX} executions that have not ended"
    if unended == 1:
        return "the execution that has not ended"
    return f"the {unended} executions that have not ended"
