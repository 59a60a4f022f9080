"""Why executions ended badly: the rules, and that each way to end badly writes its word with the end."""

import importlib
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any, get_args

import pytest
from django.apps import apps

from cueapi import usage
from cueapi.outbound.failures import Stage
from cues.models import Cue
from executions import claims, delivery, failures, outcomes, recording, recovery
from executions.failures import BY_STAGE, ErrorClass, Facts
from executions.lanes import Lane
from executions.models import Attempt, Execution
from executions.states import FAILURE, Status
from tests.support import make
from tests.support.make import NOW, NOWHERE
from tests.support.receiver import Answer, Receiver
from tests.support.resolver import Resolver

HOUR = timedelta(hours=1)


# --- The rules --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (Facts(Status.SUCCESS, "status", 500, False), None),
        (Facts(Status.RETRYING, "timeout"), None),
        (Facts(Status.MISSED), "missed"),
        (Facts(Status.OUTCOME_TIMEOUT, http_status=200), "outcome_timeout"),
        (Facts(Status.FAILED, "resolve"), "dns"),
        (Facts(Status.FAILED, "reply"), "protocol"),
        (Facts(Status.FAILED, "status", 301), "http_3xx"),
        (Facts(Status.FAILED, "status", 400), "http_4xx"),
        (Facts(Status.FAILED, "status", 499), "http_4xx"),
        (Facts(Status.FAILED, "status", 500), "http_5xx"),
        (Facts(Status.FAILED, "status", 599), "http_5xx"),
        (Facts(Status.FAILED, "status", 101), "protocol"),
        (Facts(Status.FAILED, "status", 600), "protocol"),
        (Facts(Status.FAILED, failures.QUOTA, 503, False), "quota"),
        (Facts(Status.FAILED, failures.INTERRUPTED), "interrupted"),
        (Facts(Status.FAILED, outcome_success=False), "outcome_failed"),
        (Facts(Status.FAILED, "timeout", outcome_success=False), "outcome_failed"),
        (Facts(Status.FAILED, "timeout", outcome_success=True), "timeout"),
        (Facts(Status.FAILED), "internal"),
        (Facts(Status.FAILED, "a stage that nobody knows"), "internal"),
    ],
)
def test_the_class_follows_from_the_facts(facts: Facts, expected: str | None) -> None:
    assert failures.classify(facts) == expected


def test_every_stage_of_an_attempt_has_a_class_of_its_own() -> None:
    assert set(get_args(Stage)) <= set(BY_STAGE)
    assert len(set(BY_STAGE.values())) == len(BY_STAGE)


def test_each_failure_has_a_class_and_nothing_else_has() -> None:
    for status in Status:
        assert (failures.classify(Facts(status)) is not None) == (status in FAILURE)


# --- Written with the end ---------------------------------------------------------------------------------------


def attempted(url: str, **columns: Any) -> Execution:
    """A webhook after its only attempt."""
    cue = make.cue(make.account(), callback_url=url, max_attempts=1, **columns)
    execution = make.execution(cue)
    delivery.drain(Lane.of(execution), tick=lambda: NOW)
    return Execution.objects.get(pk=execution.pk)


@pytest.mark.django_db
@pytest.mark.parametrize(("status", "expected"), [(302, "http_3xx"), (410, "http_4xx"), (503, "http_5xx")])
def test_a_receivers_status_gives_its_class(receiver: Receiver, status: int, expected: str) -> None:
    receiver.will_answer(Answer(status))
    ended = attempted(receiver.url)
    assert (ended.status, ended.error_class) == ("failed", expected)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://nobody.example/hook", "dns"),
        (NOWHERE, "connect"),
        ("https://inside.example/hook", "refused"),
    ],
)
def test_what_keeps_an_attempt_from_being_made_gives_its_class(resolver: Resolver, url: str, expected: str) -> None:
    resolver["inside.example"] = ["10.0.0.1"]
    assert attempted(url).error_class == expected


@pytest.mark.django_db
def test_a_receiver_without_tls_gives_its_class(receiver: Receiver) -> None:
    assert attempted(receiver.url.replace("http:", "https:")).error_class == "tls"


@pytest.mark.django_db
def test_a_bug_of_ours_is_internal(receiver: Receiver) -> None:
    odd = {"X-Odd": 5}  # no door lets a number through
    assert attempted(receiver.url, callback_headers=odd).error_class == "internal"


@pytest.mark.django_db
def test_a_receiver_that_takes_too_long_gives_its_class(receiver: Receiver) -> None:
    never = threading.Event()
    receiver.will_answer(Answer(wait=never))
    assert attempted(receiver.url, delivery_timeout_s=1).error_class == "timeout"
    never.set()


@pytest.mark.django_db
def test_a_success_and_a_retry_have_no_class(receiver: Receiver) -> None:
    assert attempted(receiver.url).error_class is None
    receiver.will_answer(Answer(500))
    waits = make.execution(make.cue(Cue.objects.get().account, callback_url=receiver.url))
    delivery.drain(Lane.of(waits), tick=lambda: NOW)
    waits.refresh_from_db()
    assert (waits.status, waits.error_class) == ("retrying", None)


def flying(**columns: Any) -> Execution:
    cue = make.cue(make.account(), max_attempts=1, **columns.pop("cue", {}))
    given = {"status": Status.DELIVERING, "attempts": 1, "last_attempt_at": NOW} | columns
    return Execution.objects.select_related("cue", "account").get(pk=make.execution(cue, **given).pk)


def pulled(**columns: Any) -> Execution:
    return flying(cue={"transport": "worker", "callback_url": ""}, claimed_by_worker="w", claimed_at=NOW, **columns)


def interrupt(execution: Execution) -> None:
    recording.interrupted(execution, now=NOW)


def report_failure(execution: Execution) -> None:
    outcomes.report(execution.account, execution.pk, {"success": False, "error": "no"}, now=NOW)


def run_into_quota(execution: Execution) -> None:
    make.over_month(execution.account, now=NOW)
    delivery.drain(Lane.of(execution), tick=lambda: NOW)


def run_into_quota_unoffered(execution: Execution) -> None:
    make.over_month(execution.account, now=NOW + HOUR)
    recovery.miss_unclaimed(NOW + HOUR)


ENDS: list[tuple[str, Callable[[], Execution], Callable[[Execution], object]]] = [
    ("interrupted", flying, interrupt),
    ("interrupted", pulled, lambda run: claims.end_lease(run, now=NOW + HOUR)),
    ("outcome_failed", pulled, report_failure),
    ("outcome_failed", lambda: flying(status=Status.PENDING_OUTCOME), report_failure),
    ("outcome_failed", lambda: flying(status=Status.RETRYING), report_failure),
    ("outcome_timeout", lambda: flying(status=Status.PENDING_OUTCOME), lambda run: recovery.end_unreported(NOW)),
    ("missed", lambda: pulled(status=Status.PENDING), lambda run: recovery.miss_unclaimed(NOW + HOUR)),
    ("quota", lambda: flying(status=Status.PENDING), run_into_quota),
    ("quota", lambda: flying(status=Status.RETRY_READY, http_status=500), run_into_quota),
    ("quota", lambda: pulled(status=Status.PENDING), run_into_quota_unoffered),
]


@pytest.mark.django_db
@pytest.mark.database
@pytest.mark.parametrize(("expected", "make_it", "end"), ENDS)
def test_each_other_way_to_end_badly_writes_its_class(
    expected: str, make_it: Callable[[], Execution], end: Callable[[Execution], object]
) -> None:
    execution = make_it()
    end(execution)
    ended = Execution.objects.get()
    assert ended.status in FAILURE
    assert ended.error_class == expected


@pytest.mark.django_db
def test_a_failure_that_is_reported_late_leaves_the_class_as_it_was() -> None:
    ended = make.execution(make.cue(make.account()), status=Status.FAILED, error_class="timeout")
    outcomes.report(ended.account, ended.pk, {"success": False}, now=NOW + HOUR)
    assert Execution.objects.get().error_class == "timeout"


# --- Those that ended before there were classes -----------------------------------------------------------------

fill = importlib.import_module("executions.migrations.0009_fill_error_class")


@pytest.mark.django_db
@pytest.mark.database
@pytest.mark.parametrize(
    ("expected", "columns", "stage"),
    [
        ("missed", {"status": "missed"}, None),
        ("outcome_timeout", {"status": "outcome_timeout"}, None),
        ("quota", {"error_message": usage.REFUSAL, "http_status": 500}, "status"),
        ("outcome_failed", {"outcome_success": False, "outcome_recorded_at": NOW}, "timeout"),
        ("timeout", {"outcome_success": False, "outcome_recorded_at": NOW + HOUR}, "timeout"),
        ("interrupted", {"transport": "worker"}, None),
        ("interrupted", {}, "interrupted"),
        ("dns", {}, "resolve"),
        ("http_5xx", {"http_status": 502}, "status"),
        ("protocol", {"http_status": 600}, "status"),
        ("internal", {}, "internal"),
        ("internal", {}, None),
        (None, {"status": "success"}, None),
        (None, {"status": "retrying"}, "timeout"),
    ],
)
def test_the_migration_works_the_class_out(expected: str | None, columns: dict, stage: str | None) -> None:
    given = {"status": "failed", "attempts": 2, "error_class": None} | columns
    execution = make.execution(make.cue(make.account()), **given)
    for number, at_stage in ((1, "connect"), (2, stage)):
        if at_stage:
            Attempt.objects.create(
                execution=execution, number=number, started_at=NOW, duration_ms=1, url=NOWHERE, error_stage=at_stage
            )
    fill.fill(apps, None)
    assert Execution.objects.get().error_class == expected


@pytest.mark.django_db
def test_the_migration_goes_through_all_in_batches_and_leaves_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fill, "BATCH", 2)
    cue = make.cue(make.account())
    for _ in range(5):
        make.execution(cue, status="missed", error_class=None)
    make.execution(cue, status="missed", error_class="internal")
    fill.fill(apps, None)
    assert sorted(Execution.objects.values_list("error_class", flat=True)) == ["internal", *["missed"] * 5]


def test_the_stored_words_are_as_long_as_their_column_allows() -> None:
    assert max(map(len, ErrorClass.values)) <= Execution._meta.get_field("error_class").max_length
