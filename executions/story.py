"""One execution as a page tells it: in a sentence, along a line of time, and attempt by attempt.

Reads and words; who may see it, the doors decide. Secrets are masked here, whoever looks.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from shlex import quote
from typing import Any
from urllib.parse import urlsplit

from cueapi.conf import conf
from cueapi.masking import masked_url
from cueapi.signing import Secrets
from cues.models import Transport
from executions import dossier, drawing, timeline
from executions.models import Attempt, Execution
from executions.states import FAILURE, FINAL, OutcomeState, Status
from executions.timeline import Entry, Kind, Rows, WaitFor
from executions.transports import webhook
from executions.transports.webhook import Delivery

THINNEST = 4.0  # of a bar, in thousandths of the line
SAFE_SCHEMES = ("http", "https")
DECIDABLE = (OutcomeState.REPORTED_SUCCESS, OutcomeState.REPORTED_FAILURE, OutcomeState.VERIFICATION_PENDING)
TONES = {Kind.ATTEMPT: "info", Kind.WAIT: "idle", Kind.ALERT: "warn", Kind.CUE_PAUSED: "warn"}


@dataclass(frozen=True)
class Headline:
    """What became of it; `next` is what comes at `at`; `advice` is what to do."""

    text: str
    next: str = ""
    at: datetime | None = None
    advice: str = ""


@dataclass(frozen=True)
class Line:
    """One entry and its place along the line, in thousandths."""

    entry: Entry
    x: float
    width: float
    tone: str
    links_to: str | None  # another execution

    @property
    def took(self) -> str:
        ms = self.entry.duration_ms
        return "" if ms is None else in_words(timedelta(milliseconds=ms))


@dataclass(frozen=True)
class Try:
    """One attempt: what was sent, and what came back."""

    attempt: Attempt
    url: str
    method: str
    request_headers: dict[str, str]
    body: str
    response_headers: dict[str, str]
    curl: str

    @property
    def succeeded(self) -> bool:
        return not self.attempt.error_stage


@dataclass(frozen=True)
class Story:
    execution: Execution
    headline: Headline
    lines: Sequence[Line]
    breaks: Sequence[float]
    expected: Sequence[Entry]  # what is to come
    tries: Sequence[Try]
    evidence: Sequence[tuple[str, str, bool]] = ()  # name, text, whether it is a link
    payload: str = ""
    facts: dict[str, bool] = field(default_factory=dict)


def tell(execution: Execution, *, now: datetime) -> Story:
    """The story of an execution that was read with its cue. Some ten queries, bounded."""
    rows = dossier.read(execution, now=now)
    entries = timeline.entries(rows, now=now)
    past = [entry for entry in entries if not entry.is_future]
    scale = _scale(past, now=now)
    return Story(
        execution=execution,
        headline=_headline(rows, now=now),
        lines=[_line(entry, scale, execution) for entry in past],
        breaks=scale.breaks,
        expected=[entry for entry in entries if entry.is_future],
        tries=[_try(execution, attempt) for attempt in rows.attempts],
        evidence=list(_evidence(execution)),
        payload=_json(execution.payload),
        facts={
            "can_replay": execution.is_final,
            "can_verify": execution.outcome_state in DECIDABLE,
            "ended_badly": execution.error_class is not None,
        },
    )


# --- Along the line ---------------------------------------------------------------------------------------------


def _scale(past: Sequence[Entry], *, now: datetime) -> drawing.Scale:
    ends = [_end(entry) for entry in past if entry.kind != Kind.FINAL]
    work_ms = sum(entry.duration_ms or 0 for entry in past if entry.kind == Kind.ATTEMPT)
    return drawing.scale([*(entry.at for entry in past), *ends], work_s=work_ms / 1000)


def _end(entry: Entry) -> datetime:
    return entry.at + timedelta(milliseconds=entry.duration_ms or 0)


def _line(entry: Entry, scale: drawing.Scale, execution: Execution) -> Line:
    lasts = entry.kind != Kind.FINAL  # its duration is the whole story's
    x, end = scale.place(entry.at), scale.place(_end(entry) if lasts else entry.at)
    width = max(THINNEST, end - x)
    links_to = entry.details.get("execution_id")
    return Line(entry, min(x, drawing.LENGTH - width), width, _tone(entry, execution), links_to)


def _tone(entry: Entry, execution: Execution) -> str:
    if entry.kind == Kind.ATTEMPT:
        return "bad" if entry.details["error_stage"] else "good"
    if entry.kind == Kind.FINAL:
        return "bad" if execution.error_class else "good"
    return TONES.get(entry.kind, "info")


# --- In a sentence ----------------------------------------------------------------------------------------------


def _headline(rows: Rows, *, now: datetime) -> Headline:
    run = rows.execution
    if run.status in FINAL:
        return _ended(run)
    if run.status == Status.DELIVERING:
        return _under_way(run)
    if run.status == Status.PENDING_OUTCOME:
        text = "It was delivered, and the receiver is at work."
        return Headline(text, "Without an outcome it ends as a failure at", run.outcome_deadline_at)
    return _waiting(rows, now=now)


def _ended(run: Execution) -> Headline:
    attempts = f"{run.attempts} attempt{'' if run.attempts == 1 else 's'}"
    if run.status == Status.MISSED:
        return Headline("No worker came for it in time.", advice="Start a worker, then replay it.")
    if run.status == Status.OUTCOME_TIMEOUT:
        text = "It was delivered, and no outcome came in time."
        return Headline(text, advice="Look at what the receiver did with it, then replay it if it is to run again.")
    if run.status in FAILURE:
        why = (run.error_message or run.outcome_error or "no reason was given").rstrip(".")
        return Headline(f"It failed after {attempts}: {why}.", advice="Mend what is named there, then replay it.")
    if run.outcome_success is False:
        why = (run.outcome_error or "it gave no reason").rstrip(".")
        return Headline(f"It was delivered, and the work itself failed: {why}.", advice="Mend it, then replay it.")
    if run.outcome_state == OutcomeState.VERIFICATION_PENDING:
        return Headline(f"It succeeded after {attempts}.", advice="Somebody is to verify its outcome, below.")
    return Headline(f"It succeeded after {attempts}.")


def _under_way(run: Execution) -> Headline:
    if run.transport == Transport.WORKER:
        text = f"The worker {run.claimed_by_worker} is at work on it."
        return Headline(text, "Unless it is heard of, others may claim it from", run.lease_expires_at)
    return Headline(f"Attempt {run.attempts} is under way.")


def _waiting(rows: Rows, *, now: datetime) -> Headline:
    run = rows.execution
    if run.is_held:
        return Headline("It waits for the executions of its cue before it (overlap is queue).")
    if rows.in_the_way == WaitFor.BREAKER and rows.destination is not None:
        text = f"It waits: {run.lane} does not answer ({rows.destination.reason.rstrip('.') or 'opened by hand'})."
        if rows.destination.probe_at is None:
            return Headline(text, advice="Close the breaker under Destinations when the receiver is well.")
        return Headline(text, "The destination is asked again at", rows.destination.probe_at)
    if rows.in_the_way == WaitFor.RATE:
        return Headline("It waits for its turn: a rate limits how many attempts start.", "It may start at", run.due_at)
    if run.status == Status.RETRYING:
        why = (run.error_message or "the attempt failed").rstrip(".")
        text = f"Attempt {run.attempts} of {run.cue.max_attempts} failed: {why}."
        return Headline(text, "The next try is at", run.due_at)
    if run.due_at is not None and run.due_at > now:
        return Headline("Its time has not come.", "It is due at", run.due_at)
    if run.transport == Transport.WORKER:
        return Headline("It waits for a worker to claim it.", "Unclaimed, it is missed at", rows.claim_deadline)
    return Headline("It is due, and waits for its turn to be sent.")


def in_words(span: timedelta) -> str:
    """`12 ms`, `3.4 s`, `5 min 12 s`, `2 h 5 min`, `3 d 4 h`."""
    seconds = span.total_seconds()
    if seconds < 1:
        return f"{round(seconds * 1000)} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    units = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
    name, size = next((name, size) for name, size in units if seconds >= size)
    whole, rest = divmod(round(seconds), size)
    smaller = units[[unit for unit, _ in units].index(name) + 1]
    part = rest // smaller[1]
    return f"{whole} {name} {part} {smaller[0]}" if part else f"{whole} {name}"


# --- Attempt by attempt -----------------------------------------------------------------------------------------


def _try(run: Execution, attempt: Attempt) -> Try:
    told = timeline.attempt_entry(run, attempt).details
    url, body = masked_url(attempt.url), _body(run, attempt)
    method, headers = told["method"], told["request_headers"]
    return Try(attempt, url, method, headers, body, told["response_headers"], curl_of(method, url, headers, body))


def _body(run: Execution, attempt: Attempt) -> str:
    """The body as it was sent: it holds nothing that changes but the attempt's number and the cue's name."""
    if run.cue.callback_method == "GET":
        return ""
    delivery = Delivery(
        execution_id=run.pk,
        cue_id=run.cue_id,
        cue_name=run.cue.name,
        attempt=attempt.number,
        scheduled_for=run.scheduled_for,
        payload=run.payload,
        url=attempt.url,
        method=run.cue.callback_method,
        headers={},
        secrets=Secrets(""),
        outcome_url="",
        heartbeat_url="",
        timeout_s=0.0,
        flatten=conf().webhook_flatten_payload,
        payload_names_execution=run.cue.is_lenient,
        heeds_no_retry=False,
    )
    return _json(webhook.body_of(delivery))


def curl_of(method: str, url: str, headers: dict[str, str], body: str) -> str:
    """The same request for a terminal; what is masked is to be filled in."""
    words = [
        f"curl -i -X {quote(method)} {quote(url)}",
        *(f"-H {quote(f'{name}: {headers[name]}')}" for name in headers),
    ]
    if body:
        words += ["-H 'Content-Type: application/json'", f"--data-binary {quote(body)}"]
    return " \\\n  ".join(words)


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _evidence(run: Execution) -> Iterator[tuple[str, str, bool]]:
    for name in ("summary", "external_id", "result_ref", "result_type", "validation_state"):
        if text := getattr(run, name):
            yield name.replace("_", " "), text, False
    if run.result_url:
        yield "result", run.result_url, urlsplit(run.result_url).scheme.lower() in SAFE_SCHEMES
    for name in ("outcome_result", "outcome_error"):
        if text := getattr(run, name):
            yield name.removeprefix("outcome_"), text, False
    for name in ("outcome_metadata", "artifacts", "assertions"):
        if value := getattr(run, name):
            yield name.removeprefix("outcome_"), _json(value), False
