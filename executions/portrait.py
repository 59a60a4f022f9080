"""All that the page of a cue shows, as plain data: some fifteen queries, each by an index and bounded.

The admin and the user's own page show the same; `links` says where each of them leads.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import QuerySet

from cueapi.errors import InvalidSchedule, InvalidTimezone, ValidationFailed
from cues import foresight
from cues.models import Cue, Definition
from cues.preview import Due
from cues.zones import instant_in, zone
from executions import explain, intentions, particulars, statistics, streaks, strip
from executions.alerts import has_failed
from executions.intentions import Intention
from executions.links import Form, Links
from executions.models import Alert, AlertType, Execution
from executions.particulars import Fact
from executions.statistics import CueStats
from executions.streaks import Lately
from executions.strip import Strip

DUES_SHOWN = 10
RUNS_SHOWN = 20
FAILURES_SHOWN = 5
ALERTS_SHOWN = 5
DEFINITIONS_SHOWN = 10
ERROR_MAX_CHARS = 200
NOT_A_TIME = "That is not a time. Write it as 2031-05-04T09:00, or with its zone as 2031-05-04T09:00:00Z."


@dataclass(frozen=True)
class Action:
    intention: Intention
    form: Form


@dataclass(frozen=True)
class Coming:
    """A due time, with the time of day in the cue's zone; `note` says what a clock change of that day does."""

    at: datetime
    local: str
    note: str
    jitter_s: int


@dataclass(frozen=True)
class Future:
    """What the schedule will do; `problem` instead, where it cannot be read."""

    dues: Sequence[Coming] = ()
    message: str = ""
    changes: Sequence[str] = ()
    problem: str = ""


@dataclass(frozen=True)
class Run:
    """An execution in one line."""

    id: UUID
    url: str
    status: str
    has_failed: bool
    triggered_by: str
    scheduled_for: datetime
    closed_at: datetime | None
    attempts: int
    http_status: int | None
    outcome: str
    error_class: str
    error: str


@dataclass(frozen=True)
class Warned:
    """An alert of the cue."""

    at: datetime
    kind: str
    severity: str
    message: str
    is_acknowledged: bool


@dataclass(frozen=True)
class Past:
    """A definition that was in force from `since` on."""

    since: datetime
    status: str
    words: str


@dataclass(frozen=True)
class Question:
    """“Why did it not run at …?”: what was asked, and the answer or what is wrong with the question."""

    text: str = ""
    is_local: bool = False
    verdict: str = ""
    answer: str = ""
    window: datetime | None = None
    execution_url: str = ""
    refusal: str = ""


@dataclass(frozen=True)
class Portrait:
    id: str
    name: str
    description: str
    status: str
    is_recurring: bool
    words: str
    zone: str
    next_run: datetime | None
    last_run: datetime | None
    links: Links
    actions: Sequence[Action]
    future: Future
    strip: Strip
    stats: CueStats
    lately: Lately
    failures: Sequence[Run]
    runs: Sequence[Run]
    facts: Sequence[Fact]
    payload: str
    alerts: Sequence[Warned]
    past: Sequence[Past]
    question: Question

    @property
    def success_rate(self) -> str:
        return "–" if self.stats.success_rate is None else f"{self.stats.success_rate:.1%}"


def read(cue: Cue, links: Links, *, asked: Mapping[str, str], now: datetime) -> Portrait:
    """`asked` is the query of the page: `at` and `zone`, of the question why the cue did or did not run."""
    return Portrait(
        id=cue.pk,
        name=cue.name,
        description=cue.description or "",
        status=cue.status,
        is_recurring=cue.is_recurring,
        words=foresight.in_words(cue),
        zone=cue.timezone,
        next_run=cue.next_run,
        last_run=cue.last_run,
        links=links,
        actions=list(_actions(cue, links, now=now)),
        future=_future(cue, now=now),
        strip=strip.read(cue, links, now=now),
        stats=statistics.of_cue(cue, now=now),
        lately=streaks.lately([cue.pk]).get(cue.pk, Lately()),
        failures=_failures(cue, links),
        runs=[_run(run, links) for run in Execution.objects.filter(cue=cue).newest_first().defer(*HEAVY)[:RUNS_SHOWN]],
        facts=[*particulars.of(cue), *_success(cue, links)],
        payload=particulars.payload_of(cue),
        alerts=_alerts(cue),
        past=_past(cue),
        question=_question(cue, links, asked, now=now),
    )


def _actions(cue: Cue, links: Links, *, now: datetime) -> Iterator[Action]:
    for intention in intentions.of(cue, now=now):
        form = links.act(intention.action)
        if form is not None:
            yield Action(intention, form)


# --- What comes -------------------------------------------------------------------------------------------------


def _future(cue: Cue, *, now: datetime) -> Future:
    try:
        found = foresight.of_cue(cue, start=now, count=DUES_SHOWN, now=now)
    except (InvalidSchedule, InvalidTimezone) as error:
        return Future(problem=error.message)
    noted = {due.note for due in found.preview.next}
    changes = [change.sentence for change in found.preview.changes if change.at > now - timedelta(days=1)]
    return Future(
        dues=[_coming(due) for due in found.preview.next],
        message=found.message or "",
        changes=[sentence for sentence in changes if sentence not in noted],
    )


def _coming(due: Due) -> Coming:
    return Coming(due.at, f"{due.local:%a %Y-%m-%d %H:%M:%S} {due.local.tzname()}", due.note or "", due.jitter.seconds)


# --- What was ---------------------------------------------------------------------------------------------------

HEAVY = ("payload", "exit_criteria", "response_body", "outcome_result", "outcome_metadata", "artifacts", "assertions")


def _failures(cue: Cue, links: Links) -> list[Run]:
    dead = Execution.objects.filter(cue=cue).dead().order_by("-closed_at", "-id")
    return [_run(run, links) for run in dead.defer(*HEAVY)[:FAILURES_SHOWN]]


def _run(run: Execution, links: Links) -> Run:
    return Run(
        id=run.pk,
        url=links.execution(run.pk),
        status=run.status,
        has_failed=has_failed(run),
        triggered_by=run.triggered_by.replace("_", " "),
        scheduled_for=run.scheduled_for,
        closed_at=run.closed_at,
        attempts=run.attempts,
        http_status=run.http_status,
        outcome=run.outcome_state or "",
        error_class=run.error_class or "",
        error=_cut(run.error_message or run.outcome_error or ""),
    )


def _cut(text: str) -> str:
    return text if len(text) <= ERROR_MAX_CHARS else f"{text[: ERROR_MAX_CHARS - 1]}…"


def _alerts(cue: Cue) -> list[Warned]:
    """The newest, looked for kind by kind as the index has them."""
    first, *others = (_newest_alerts(cue, kind) for kind in AlertType)
    newest = sorted(first.union(*others, all=True), key=lambda alert: alert.created_at, reverse=True)[:ALERTS_SHOWN]
    return [
        Warned(
            alert.created_at, alert.get_alert_type_display(), alert.severity, alert.message, bool(alert.acknowledged_at)
        )
        for alert in newest
    ]


def _newest_alerts(cue: Cue, kind: AlertType) -> QuerySet[Alert]:
    newest = Alert.objects.filter(cue=cue, alert_type=kind).order_by("-created_at").values("pk")[:ALERTS_SHOWN]
    return Alert.objects.filter(pk__in=newest).defer("metadata")


def _past(cue: Cue) -> list[Past]:
    """The cue's definitions, the newest first."""
    found = Definition.objects.filter(cue=cue).order_by("-since")[:DEFINITIONS_SHOWN]
    return [Past(one.since, one.status, foresight.in_words(one)) for one in found]


def _success(cue: Cue, links: Links) -> Iterator[Fact]:
    if cue.on_success_fire_id:
        yield Fact("On success", f"fires {cue.on_success_fire_id}", url=links.cue(cue.on_success_fire_id))


# --- Why it did or did not run ----------------------------------------------------------------------------------


def _question(cue: Cue, links: Links, asked: Mapping[str, str], *, now: datetime) -> Question:
    text = asked.get("at", "").strip()
    is_local = asked.get("zone") == "cue"
    if not text:
        return Question(is_local=is_local)
    try:
        tz = zone(cue.timezone if is_local else "UTC")
        at = instant_in(text, tz, where="query.at")
    except (ValidationFailed, InvalidTimezone):
        return Question(text, is_local, refusal=NOT_A_TIME)
    told = explain.explain(cue, at, now=now)
    run_id = told.facts.get("execution_id") if "status" in told.facts else None
    return Question(
        text=f"{at.astimezone(tz):%Y-%m-%dT%H:%M:%S}",
        is_local=is_local,
        verdict=told.verdict,
        answer=told.sentence,
        window=told.window,
        execution_url=links.execution(UUID(run_id)) if run_id else "",
    )
