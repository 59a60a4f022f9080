"""The timeline of an execution: each fact once, in order, from its rows; and what is still to come."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from cueapi.masking import MASK
from cues.models import Cue, Definition
from executions import claims, closing, dossier, firing, lifecycle, outcomes, timeline
from executions.models import Alert, Attempt, Destination, Execution, Notification
from executions.states import Status
from executions.timeline import Entry, Kind, WaitFor
from tests.support import make
from tests.support.api import Api
from tests.support.make import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.database]

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


def told(run: Execution, now: Any = NOW) -> list[Entry]:
    return timeline.entries(dossier.read(outcomes.find(run.account, run.pk), now=now), now=now)


def kinds(entries: list[Entry]) -> list[str]:
    return [entry.kind.value for entry in entries]


def only(entries: list[Entry], kind: Kind) -> Entry:
    (found,) = [entry for entry in entries if entry.kind == kind]
    return found


def waits(entries: list[Entry]) -> list[tuple[str, int | None]]:
    return [(entry.details["reason"], entry.duration_ms) for entry in entries if entry.kind == Kind.WAIT]


@pytest.fixture
def cue(api: Api) -> Cue:
    return make.recurring(api.account, callback_headers={"Authorization": "Bearer theirs"}, on_failure_pause=True)


def fired(cue: Cue, at: Any = NOW) -> Execution:
    firing.fire_due([cue.pk], now=at)
    return Execution.objects.get(cue=cue)


def failed_once(run: Execution, at: Any = NOW + SECOND) -> None:
    lifecycle.start_attempts([run], due_at=at + MINUTE, now=at)
    run.refresh_from_db()
    columns: dict[str, Any] = {"url": make.NOWHERE, "http_status": 500, "error_stage": "status"}
    columns |= {"error_message": "The receiver answered 500.", "response_body": "oops"}
    Attempt.objects.create(execution=run, number=1, started_at=at, duration_ms=70, **columns)
    due_at = at + 5 * MINUTE
    lifecycle.move(run, Status.RETRYING, reason="attempt 1 of 3 failed", now=at + SECOND, due_at=due_at)


def test_a_failing_run_is_told_from_its_window_to_its_next_try(cue: Cue) -> None:
    run = fired(cue)
    failed_once(run)
    entries = told(run, NOW + MINUTE)
    assert kinds(entries) == ["due", "created", "wait", "attempt", "state", "wait", "state", "next_try"]
    assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)
    assert entries[-1].is_future and entries[-1].at == NOW + SECOND + 5 * MINUTE
    assert not any(entry.is_future for entry in entries[:-1])
    assert waits(entries) == [("lane", 1000), ("retry", 58_000)]
    attempt = only(entries, Kind.ATTEMPT)
    assert attempt.summary == "Attempt 1 answered 500 after 70 ms: The receiver answered 500."
    assert (attempt.duration_ms, attempt.details["response_excerpt"]) == (70, "oops")


def test_headers_are_named_and_their_values_masked(cue: Cue) -> None:
    run = fired(cue)
    failed_once(run)
    headers = only(told(run), Kind.ATTEMPT).details["request_headers"]
    assert headers["Authorization"] == headers["X-CueAPI-Signature"] == MASK
    assert headers["X-CueAPI-Attempt"] == "1"
    assert "theirs" not in str(told(run))


def test_the_end_tells_why_whom_it_told_and_that_it_paused_the_cue(cue: Cue) -> None:
    run = fired(cue)
    closing.close(run, Status.FAILED, reason="a test", now=NOW + SECOND, error_message="HTTP 500.", stage="status")
    alert = Alert.objects.create(
        account=run.account, cue=cue, execution=run, alert_type="outcome_timeout", message="late", created_at=NOW
    )
    Notification.objects.create(account=run.account, alert=alert, kind="webhook", state="sent", sent_at=NOW + MINUTE)
    entries = told(run, NOW + 2 * MINUTE)
    final = only(entries, Kind.FINAL)
    assert (final.summary, final.duration_ms) == ("It ended in failed: a test.", 1000)
    assert only(entries, Kind.ESCALATION).details["channel"] == "email"
    assert only(entries, Kind.NOTIFICATION).at == NOW + MINUTE
    assert only(entries, Kind.ALERT).summary == "late."
    assert only(entries, Kind.CUE_PAUSED).at == NOW + SECOND
    assert Definition.objects.filter(cue=cue, status="paused").exists()


def test_a_held_run_waits_for_those_before_it_and_says_so_when_it_is_over(cue: Cue) -> None:
    run = make.execution(cue, is_held=True, due_at=None)
    lifecycle._log_births([run.pk], reason="its time came")
    assert waits(told(run, NOW + MINUTE)) == [("overlap", 60_000)]
    lifecycle.release(run, now=NOW + 2 * MINUTE)
    assert waits(told(run, NOW + 3 * MINUTE))[0] == ("overlap", 120_000)


def test_an_open_breaker_is_what_a_due_run_waits_for(cue: Cue) -> None:
    run = fired(cue)
    Destination.objects.create(account=run.account, lane=run.lane, state="open", probe_at=NOW + MINUTE)
    entries = told(run, NOW + 2 * SECOND)
    assert waits(entries) == [(WaitFor.BREAKER.value, 2000)]
    assert entries[-1].kind == Kind.NEXT_PROBE


def test_a_rate_and_a_full_house_are_told_apart(cue: Cue, settings: Any) -> None:
    run = fired(cue)
    row = Destination.objects.create(account=run.account, lane=run.lane, rate_per_minute=1, next_at=NOW + MINUTE)
    assert waits(told(run, NOW + SECOND))[-1][0] == "rate"
    Destination.objects.filter(pk=row.pk).update(rate_per_minute=None, next_at=None)
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"lane_concurrency": 1})
    make.execution(cue, status=Status.DELIVERING, last_attempt_at=NOW)
    assert waits(told(run, NOW + SECOND))[-1][0] == "concurrency"


def test_a_fire_for_later_waits_for_its_time(cue: Cue) -> None:
    order = firing.ManualFire(send_at=NOW + MINUTE)
    run = firing.fire(cue, order, now=NOW)
    entries = told(run, NOW + SECOND)
    assert waits(entries) == [("send_at", 1000)]
    assert entries[-1].kind == Kind.DUE and entries[-1].is_future


def test_a_pulled_run_tells_its_claim_its_lease_and_its_outcome(api: Api) -> None:
    cue = make.recurring(api.account, transport="worker", verification_mode="require_external_id")
    run = fired(cue)
    waiting = told(run, NOW + SECOND)
    assert waits(waiting) == [("worker", 1000)] and waiting[-1].kind == Kind.CLAIM_DEADLINE
    claims.claim_next(api.account, "w1", task=None, agent=None, now=NOW + MINUTE)
    claimed = told(run, NOW + 2 * MINUTE)
    assert only(claimed, Kind.CLAIMED).summary == "It was claimed by worker w1."
    assert claimed[-1].kind == Kind.LEASE_END
    outcomes.report(api.account, run.pk, {"success": True, "external_id": "x-1"}, now=NOW + 3 * MINUTE)
    entries = told(run, NOW + 4 * MINUTE)
    assert only(entries, Kind.OUTCOME).details["evidence"] == {"external_id": "x-1"}
    assert only(entries, Kind.VERIFICATION).details["outcome_state"] == "verified_success"
    assert only(entries, Kind.FINAL).summary.startswith("It ended in success")


def test_a_run_that_its_cues_rate_put_off_waits_for_the_rate(cue: Cue) -> None:
    until = NOW + MINUTE
    run = make.execution(cue, due_at=until, paced_at=until)
    lifecycle.born([run], reason="fired by hand")
    assert waits(told(run, NOW + 2 * SECOND))[-1][0] == "rate"


def test_replays_are_told_both_ways(cue: Cue) -> None:
    run = make.execution(cue, status=Status.FAILED)
    replay = firing.replay(run, now=NOW + MINUTE)
    assert only(told(run, NOW + MINUTE), Kind.REPLAYED).details["execution_id"] == str(replay.pk)
    assert only(told(replay, NOW + MINUTE), Kind.REPLAY_OF).details["execution_id"] == str(run.pk)


def test_a_run_that_waits_for_its_outcome_tells_the_deadline(cue: Cue) -> None:
    due = {"due_at": NOW + MINUTE, "outcome_deadline_at": NOW + MINUTE}
    run = make.execution(cue, status=Status.PENDING_OUTCOME, **due)
    assert told(run)[-1].kind == Kind.OUTCOME_DEADLINE


def test_however_much_happened_it_takes_ten_queries_at_most(api: Api, cue: Cue) -> None:
    run = fired(cue)
    failed_once(run)
    for number in range(2, 12):
        firing.replay(make.execution(cue, status=Status.FAILED), now=NOW)
        Attempt.objects.create(execution=run, number=number, started_at=NOW, duration_ms=1, url=make.NOWHERE)
        Alert.objects.create(account=run.account, execution=run, alert_type="outcome_timeout", created_at=NOW)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        told(run)
    assert len(queries) <= 10
    answer = api.get(f"/v1/executions/{run.pk}/timeline").json()
    assert (answer["execution_id"], answer["status"]) == (str(run.pk), "retrying")
    assert {entry["kind"] for entry in answer["entries"]} <= {kind.value for kind in Kind}
