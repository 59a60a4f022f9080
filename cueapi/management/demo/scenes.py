"""The four scenes. Each declares a cue, shows what happens to it as it happens, and lets the API have the last word."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cueapi.management.demo.problems import Overdue
from cueapi.management.demo.receiver import Call, Hook, Receiver
from cueapi.management.demo.screen import Timeline
from cueapi.management.demo.server import Server

FINAL = {"success", "failed", "missed", "outcome_timeout"}  # contract 4.2
PATIENCE_S = 20  # more than twice what a sweep needs to find work whose message was lost
POLL_S = 0.05
WAIT_MAX_S = 65  # the longest wait for a cron that comes due each minute, and a little more
CHECK_WORKER = "Is `make up` running, and do its lines say that the worker runs?"
CHECK_BEAT = "Is `make up` running, and do its lines say that the worker and beat run?"


@dataclass(frozen=True)
class Stage:
    """What a scene plays on. Its cues' names start with `tag`."""

    server: Server
    receiver: Receiver
    timeline: Timeline
    tag: str
    waits: bool  # for the first run of the recurring cue


@dataclass(frozen=True)
class Ending:
    """How a scene ended: as it was told or not, in one sentence, and in a few words for the summary."""

    went_as_told: bool
    verdict: str
    result: str


@dataclass(frozen=True)
class Scene:
    title: str
    promise: str
    play: Callable[[Stage], Ending]


# --- The scenes -------------------------------------------------------------------------------------------------


def run_now(stage: Stage) -> Ending:
    hook = stage.receiver.open("/now", 200)
    declare(stage, "now", now_at(hook))
    calls = watch(stage, hook, (200,))
    return explain(stage, calls, status="success", answers=(200,))


def retry(stage: Stage) -> Ending:
    answers = (500, 500, 200)
    hook = stage.receiver.open("/retry", *answers)
    declare(stage, "retry", now_at(hook, max_attempts=3))
    calls = watch(stage, hook, answers)
    return explain(stage, calls, status="success", answers=answers)


def escalate(stage: Stage) -> Ending:
    answers = (502, 502)
    hook, alarm = stage.receiver.open("/broken", *answers), stage.receiver.open("/alarm", 200)
    on_failure = {"email": False, "webhook": alarm.url, "pause": False}
    declare(stage, "escalate", now_at(hook, max_attempts=2) | {"on_failure": on_failure})
    calls = watch(stage, hook, answers)
    call = await_call(alarm, "The failure webhook did not come", CHECK_WORKER)
    stage.timeline.add(describe_alarm(call), at_s=call.arrived_s)
    ending = explain(stage, calls, status="failed", answers=answers)
    names_it = call.is_genuine and call.execution_id == calls[0].execution_id
    return Ending(ending.went_as_told and names_it, ending.verdict, f"{ending.result}, escalated")


def recur(stage: Stage) -> Ending:
    hook = stage.receiver.open("/cron", 200)
    every_minute = {"type": "recurring", "cron": "* * * * *", "timezone": "UTC"}
    cue = declare(stage, "recur", {"schedule": every_minute, "callback": {"url": hook.url}})
    wait_s = seconds_between(cue["created_at"], cue["next_run"])
    stage.timeline.add(f"next_run is {clock_time(cue['next_run'])}, {in_words(wait_s)}")
    is_waited_for = stage.waits and wait_s <= WAIT_MAX_S
    ending = first_run(stage, hook, wait_s) if is_waited_for else not_waited(stage, cue)
    stage.server.delete_cue(cue["id"])
    stage.timeline.add(f"DELETE /v1/cues/{cue['id']} … 204, so nothing goes on running")
    return ending


SCENES = (
    Scene("A cue that runs now", "One webhook, answered 200.", run_now),
    Scene("A cue that fails twice", "Answered 500, 500, then 200; backoff_minutes is [0], so at once.", retry),
    Scene(
        "A cue that escalates", "Answered 502 until its 2 attempts are used up; on_failure.webhook is told.", escalate
    ),
    Scene("A cue that recurs", "Cron * * * * *: each minute, on the minute.", recur),
)


# --- Parts of scenes --------------------------------------------------------------------------------------------


def now_at(hook: Hook, *, max_attempts: int = 3) -> dict[str, Any]:
    """A cue that runs now, delivers to `hook` and does not wait between attempts."""
    return {
        "schedule": {"type": "one-time", "at": None},
        "callback": {"url": hook.url},
        "retry": {"max_attempts": max_attempts, "backoff_minutes": [0]},
        "on_failure": {"email": False, "webhook": None, "pause": False},
    }


def declare(stage: Stage, name: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Create the cue; what the API answered."""
    sent_s = time.monotonic()
    cue = stage.server.create_cue({"name": f"{stage.tag}-{name}", "payload": {"scene": name}, **fields})
    stage.timeline.add(f"POST /v1/cues … 201 {cue['id']}", at_s=sent_s)
    return cue


def watch(stage: Stage, hook: Hook, answers: Sequence[int]) -> list[Call]:
    """Show one webhook for each of `answers` as it comes. Raises Overdue."""
    calls = []
    for number in range(1, len(answers) + 1):
        call = await_call(hook, f"Webhook attempt {number} did not come", CHECK_WORKER)
        stage.timeline.add(describe(call), at_s=call.arrived_s)
        calls.append(call)
    return calls


def await_call(hook: Hook, problem: str, check: str, *, timeout_s: float = PATIENCE_S) -> Call:
    """The next webhook. Raises Overdue, with the problem and what to check."""
    call = hook.next_call(timeout_s=timeout_s)
    if call is None:
        raise Overdue(f"{problem} within {timeout_s:g} s. {check}")
    return call


def first_run(stage: Stage, hook: Hook, wait_s: float) -> Ending:
    """Wait for the first slot and show its run. Raises Overdue."""
    calls: list[Call] = []

    def arrived(timeout_s: float) -> bool:
        call = hook.next_call(timeout_s=timeout_s)
        calls.extend([call] if call else [])
        return call is not None

    stage.timeline.screen.count_down(stage.timeline.began_s + wait_s, arrived, "the first run")
    call = calls[0] if calls else await_call(hook, "The first run is overdue: no webhook came", CHECK_BEAT)
    stage.timeline.add(f"{describe(call)}, {call.late_ms} ms after its time", at_s=call.arrived_s)
    ending = explain(stage, [call], status="success", answers=(200,))
    return Ending(ending.went_as_told, ending.verdict, f"{ending.result}, {call.late_ms} ms late")


def not_waited(stage: Stage, cue: dict[str, Any]) -> Ending:
    """The schedule stands; its first run is left out."""
    seen = stage.server.get(f"/v1/cues/{cue['id']}")
    when = clock_time(seen["next_run"])
    verdict = f"The API says: {seen['status']}, next run at {when}. Not waited for."
    return Ending(seen["status"] == "active", verdict, f"{seen['status']}, next run at {when}")


def explain(stage: Stage, calls: Sequence[Call], *, status: str, answers: Sequence[int]) -> Ending:
    """The API's account of the execution behind `calls`, and whether it is the one expected."""
    execution = await_end(stage.server, calls[0].execution_id)
    stage.timeline.add(outcome_of(execution))
    told = execution["status"] == status and answers_in(execution) == [str(answer) for answer in answers]
    went_as_told = told and all(call.is_genuine for call in calls)
    verdict = verdict_on(execution)
    if not went_as_told:
        verdict += f" Expected was {status}, answered {listed([str(a) for a in answers])}, each signed."
    return Ending(went_as_told, verdict, outcome_of(execution))


def await_end(server: Server, execution_id: str) -> dict[str, Any]:
    """The execution, once it is final. Raises Overdue."""
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        execution = server.get(f"/v1/executions/{execution_id}")
        if execution["status"] in FINAL:
            return execution
        time.sleep(POLL_S)
    raise Overdue(f"Execution {execution_id} did not end within {PATIENCE_S} s. {CHECK_WORKER}")


# --- Words ------------------------------------------------------------------------------------------------------


def describe(call: Call) -> str:
    asked = "" if 200 <= call.status <= 299 else " (as the scene asked)"
    return f"webhook attempt {call.attempt} → {call.status}{asked}, {signature_of(call)}"


def describe_alarm(call: Call) -> str:
    return f"{call.json['event']} arrives at on_failure.webhook → {call.status}, {signature_of(call)}"


def signature_of(call: Call) -> str:
    return "signature valid" if call.is_genuine else "SIGNATURE NOT VALID"


def outcome_of(execution: dict[str, Any]) -> str:
    """`success after 3 attempts`."""
    attempts = execution["attempts"]
    return f"{execution['status']} after {attempts} attempt{'' if attempts == 1 else 's'}"


def answers_in(execution: dict[str, Any]) -> list[str]:
    """What each attempt was answered: a status, or the stage at which it failed."""
    return [str(attempt["http_status"] or attempt["error_stage"]) for attempt in execution["attempt_log"]]


def verdict_on(execution: dict[str, Any]) -> str:
    """One sentence from attempt_log and history."""
    history = execution["history"]
    return (
        f"The API explains: {outcome_of(execution)}, answered {listed(answers_in(execution))}; "
        f"of {len(history)} steps on record the last is “{history[-1]['reason']}”."
    )


def listed(words: Sequence[str]) -> str:
    """`500, 500 and 200`."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def seconds_between(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def clock_time(instant: str) -> str:
    return datetime.fromisoformat(instant).astimezone(UTC).strftime("%H:%M:%S UTC")


def in_words(seconds: float) -> str:
    """`in 34 seconds`, `in a minute`, `now`."""
    whole = round(seconds)
    if whole < 1:
        return "now"
    if whole >= 60:
        return "in a minute" if whole < 90 else f"in {round(seconds / 60)} minutes"
    return f"in {whole} second{'' if whole == 1 else 's'}"
