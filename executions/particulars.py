"""A cue's definition in words, line by line, without its secrets. Reads nothing but the cue and the settings."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby

from cueapi.conf import conf
from cueapi.masking import MASK, masked_url
from cues.models import CatchUp, Cue, Overlap, Transport, VerificationMode
from cues.words import duration
from executions.alerts import STREAK_DEFAULT
from executions.retry import wait_after

WAITS_TOLD = 8
PAYLOAD_MAX_CHARS = 20_000

OVERLAPS = {
    Overlap.ALLOW: "a window runs beside executions that have not ended",
    Overlap.SKIP: "a window is skipped while an execution has not ended",
    Overlap.QUEUE: "a window waits for the executions before it",
}
CATCH_UPS = {
    CatchUp.RUN_ONCE: "of windows that were missed, the newest runs",
    CatchUp.SKIP: "windows that were missed do not run",
    CatchUp.REPLAY_ALL: "windows that were missed all run, 100 at most",
}
VERIFICATIONS = {
    VerificationMode.EXTERNAL_ID: "a success needs an external_id",
    VerificationMode.RESULT_URL: "a success needs a result_url",
    VerificationMode.ARTIFACTS: "a success needs artifacts",
    VerificationMode.MANUAL: "a person verifies each success",
}


@dataclass(frozen=True)
class Fact:
    """`url` is where its text leads, if anywhere; `is_code` is text that is not a sentence."""

    label: str
    text: str
    is_code: bool = False
    url: str = ""


def of(cue: Cue) -> list[Fact]:
    return [*_delivery(cue), *_rules(cue), *_failure(cue), *_outcome(cue)]


def payload_of(cue: Cue) -> str:
    """As indented JSON, cut where it is very long."""
    text = json.dumps(cue.payload, indent=2, ensure_ascii=False)
    return text if len(text) <= PAYLOAD_MAX_CHARS else f"{text[:PAYLOAD_MAX_CHARS]}\n… (cut)"


def _delivery(cue: Cue) -> Iterator[Fact]:
    if cue.transport == Transport.WORKER:
        yield Fact("Delivery", "workers of yours ask for it")
    else:
        yield Fact("Delivery", f"{cue.callback_method} {masked_url(cue.callback_url)}", is_code=True)
    if cue.callback_headers:
        yield Fact("Headers", "\n".join(f"{name}: {MASK}" for name in cue.callback_headers), is_code=True)
    if cue.transport == Transport.WEBHOOK:
        yield Fact("Time limit", f"{cue.delivery_timeout_s or conf().webhook_timeout_seconds:g} seconds an attempt")
        yield Fact("Attempts", _attempts(cue))
    if cue.rate_per_minute:
        yield Fact("Rate", f"{cue.rate_per_minute} attempts a minute at most")


def _attempts(cue: Cue) -> str:
    retries = cue.max_attempts - 1
    if retries < 1 or not cue.backoff_minutes:
        return "one, without a retry"
    waits = [wait_after(number, cue.backoff_minutes) for number in range(1, min(retries, WAITS_TOLD) + 1)]
    told = [_times(wait, sum(1 for _ in same)) for wait, same in groupby(waits)]
    more = ", and so on" if retries > WAITS_TOLD else ""
    longer = f", each up to {cue.retry_jitter:.0%} longer" if cue.retry_jitter else ""
    return f"{cue.max_attempts} at most; between them {', then '.join(told)}{more}{longer}"


def _times(wait: timedelta, count: int) -> str:
    return duration(wait) if count == 1 else f"{count} times {duration(wait)}"


def _rules(cue: Cue) -> Iterator[Fact]:
    if cue.is_recurring:
        yield Fact("Overlap", f"{cue.overlap}: {OVERLAPS[Overlap(cue.overlap)]}")
    yield Fact("Catch-up", f"{cue.catch_up}: {CATCH_UPS[CatchUp(cue.catch_up)]}")
    if cue.require_payload_override:
        yield Fact("Fire by hand", "needs a payload_override")
    if cue.required_payload_keys:
        yield Fact("Payload needs", ", ".join(map(str, cue.required_payload_keys)), is_code=True)


def _failure(cue: Cue) -> Iterator[Fact]:
    steps = ["a mail"] if cue.on_failure_email else []
    steps += [f"a call of {masked_url(cue.on_failure_webhook)}"] if cue.on_failure_webhook else []
    steps += ["the cue pauses"] if cue.on_failure_pause else []
    yield Fact("On failure", ", ".join(steps) or "nothing but its record")
    yield Fact("Alerts", "; ".join(_alerts(cue)))


def _alerts(cue: Cue) -> Iterator[str]:
    yield f"after {cue.alert_consecutive_failures or STREAK_DEFAULT} failures in a row"
    if cue.alert_missed_window_multiplier:
        yield f"without a success for {cue.alert_missed_window_multiplier} of its intervals"
    if cue.alert_grace_s is not None:
        yield f"without a success {_seconds(cue.alert_grace_s)} after a window"


def _outcome(cue: Cue) -> Iterator[Fact]:
    if cue.outcome_deadline_s is not None:
        yield Fact("Outcome", f"is awaited for {_seconds(cue.outcome_deadline_s)} after a delivery")
    if cue.verification in VERIFICATIONS:
        yield Fact("Verification", VERIFICATIONS[VerificationMode(cue.verification)])
    if cue.required_assertions:
        yield Fact("Assertions", ", ".join(map(str, cue.required_assertions)), is_code=True)


def _seconds(seconds: int) -> str:
    return duration(timedelta(seconds=seconds))
