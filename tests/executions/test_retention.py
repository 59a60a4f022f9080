"""What is too old goes, in small steps that an index finds; all that tells of something younger stays."""

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as django_settings

from cues import services
from cues.models import Cue, LedgerEntry
from executions import retention
from executions.models import Alert, Attempt, Execution, Horizon, Notification, Step, Worker
from executions.states import Status, Trigger
from tests.support import make
from tests.support.api import Api
from tests.support.make import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.database]

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
JUST_OVER = MINUTE


@pytest.fixture
def cue(api: Api) -> Cue:
    return make.cue(api.account)


def ended(of: Cue, days: float, **columns: Any) -> Execution:
    """A failed execution that ended so many days, and a minute, before NOW, with two attempts, a step and a mail."""
    at = NOW - timedelta(days=days) - JUST_OVER
    times = {"scheduled_for": at, "created_at": at, "updated_at": at, "closed_at": at}
    run = make.execution(of, **{"status": Status.FAILED, "response_body": "no", **times, **columns})
    for number in (1, 2):
        Attempt.objects.create(
            execution=run,
            number=number,
            started_at=at,
            duration_ms=7,
            url=make.NOWHERE,
            http_status=500,
            error_stage="response",
            error_message="HTTP 500",
            response_body="no",
            response_headers={"X-Answer": "no"},
        )
    Step.objects.create(execution=run, at=at, after=Status.FAILED, reason="HTTP 500")
    Notification.objects.create(execution=run, account=of.account, kind="email")
    return run


def alert(of: Cue, days: float, execution: Execution | None = None) -> Alert:
    at = NOW - timedelta(days=days) - JUST_OVER
    made = Alert.objects.create(
        account=of.account, cue=of, execution=execution, alert_type="outcome_timeout", message="late", created_at=at
    )
    Notification.objects.create(alert=made, account=of.account, kind="email")
    return made


def entry(of: Cue, days: float, *, until_days: float | None = None) -> LedgerEntry:
    at = NOW - timedelta(days=days) - JUST_OVER
    if until_days is None:
        return LedgerEntry.objects.create(cue=of, first_at=at, verdict="missed")
    last_at = NOW - timedelta(days=until_days) - JUST_OVER
    return LedgerEntry.objects.create(cue=of, first_at=at, last_at=last_at, windows=2, verdict="skipped_paused")


def keep(settings: Any, **days: int) -> None:
    """Keep these for so many days, and all else for ever."""
    every = {f"retention_{kind}_days": 0 for kind in ("attempt_bodies", "executions", "ledger", "alerts")}
    given = {f"retention_{kind}_days": number for kind, number in days.items()}
    settings.CUEAPI = settings.CUEAPI.model_copy(update=every | given)


def purge(**options: Any) -> dict[str, int]:
    run = retention.purge(now=NOW, **options)
    assert run.is_done
    return {name: count for name, count in run.removed.items() if count}


# --- What goes, and what stays ----------------------------------------------------------------------------------


def test_what_receivers_answered_goes_after_thirty_days_and_nothing_else_of_it(cue: Cue, api: Api) -> None:
    old, young = ended(cue, 30), ended(cue, 29)
    before = api.get(f"/v1/executions/{old.pk}").json()
    assert purge() == {"response bodies": 1}
    after = api.get(f"/v1/executions/{old.pk}").json()
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"response_body", "attempt_log", "bodies_removed_at"}
    assert (after["response_body"], after["bodies_removed_at"]) == (None, "2031-05-04T09:00:00Z")
    for was, attempt in zip(before["attempt_log"], after["attempt_log"], strict=True):
        assert attempt == was | {"response_body": "", "response_headers": {}}
    kept = api.get(f"/v1/executions/{young.pk}").json()
    assert kept["response_body"] == kept["attempt_log"][1]["response_body"] == "no"
    assert kept["bodies_removed_at"] is None


def test_an_execution_goes_ninety_days_after_its_end_with_all_that_tells_of_it_alone(cue: Cue, api: Api) -> None:
    old, young = ended(cue, 90), ended(cue, 89)
    assert purge() == {"executions": 1, "response bodies": 1}
    assert list(Execution.objects.all()) == [young]
    for child in (Attempt, Step, Notification):
        assert set(child.objects.values_list("execution_id", flat=True)) == {young.pk}
    assert api.get(f"/v1/executions/{old.pk}").status_code == 404
    assert api.get("/v1/executions").json()["total"] == 1


@pytest.mark.parametrize("status", [s for s in Status if s not in ("success", "failed", "missed", "outcome_timeout")])
def test_an_open_execution_is_kept_however_old_it_is(cue: Cue, status: Status) -> None:
    old = make.execution(cue, status=status, created_at=NOW - 4000 * DAY, response_body="busy")
    assert purge() == {}
    assert Execution.objects.get().response_body == old.response_body


def test_what_was_made_from_an_execution_outlives_it(cue: Cue) -> None:
    old = ended(cue, 90)
    replay = make.execution(cue, triggered_by=Trigger.REPLAY, replayed_from=old)
    chained = make.execution(cue, triggered_by=Trigger.CHAIN, chain_parent=old, chain_depth=1)
    about = alert(cue, 1, execution=old)
    purge()
    replay.refresh_from_db()
    chained.refresh_from_db()
    about.refresh_from_db()
    assert (replay.replayed_from, chained.chain_parent, about.execution) == (None, None, None)
    assert Notification.objects.get().alert == about


def test_an_alert_goes_ninety_days_after_it_was_raised_with_its_mail(cue: Cue) -> None:
    young = alert(cue, 89)
    alert(cue, 90)
    assert purge() == {"alerts": 1}
    assert (Alert.objects.get(), Notification.objects.get().alert) == (young, young)


def test_an_old_mail_about_a_silent_worker_goes_and_one_that_waits_stays(api: Api) -> None:
    silent = Worker.objects.create(account=api.account, worker_id="w", last_heartbeat_at=NOW, registered_at=NOW)
    mail = {"worker": silent, "account": api.account, "kind": "email"}
    Notification.objects.create(**mail, state="sent", sent_at=NOW - 91 * DAY)
    kept = Notification.objects.create(**mail, state="sent", sent_at=NOW - 89 * DAY)
    waiting = Notification.objects.create(**mail, due_at=NOW - 91 * DAY)
    assert purge() == {"mails about workers": 1}
    assert set(Notification.objects.all()) == {kept, waiting}


def test_a_verdict_goes_once_its_last_window_is_too_old(cue: Cue) -> None:
    young, long_pause = entry(cue, 399), entry(cue, 900, until_days=399)
    entry(cue, 400)
    entry(cue, 800, until_days=400)
    assert purge() == {"ledger rows": 2}
    assert set(LedgerEntry.objects.all()) == {young, long_pause}


def test_the_definition_in_force_at_the_ledgers_end_and_the_later_ones_stay(api: Api) -> None:
    cue = make.recurring(api.account, created_at=NOW - 900 * DAY)
    for days in (700, 500, 300):
        services.update(cue.account, cue.pk, {"schedule": {"cron": f"{days // 100} * * * *"}}, now=NOW - days * DAY)
    quiet = make.recurring(api.account, created_at=NOW - 900 * DAY)
    LedgerEntry.objects.all().delete()
    assert purge() == {"past definitions": 2}
    assert list(cue.definitions.order_by("since").values_list("since", flat=True)) == [NOW - 500 * DAY, NOW - 300 * DAY]
    assert quiet.definitions.count() == 1


def test_zero_days_keep_for_ever(cue: Cue, settings: Any) -> None:
    keep(settings)
    ended(cue, 5000)
    alert(cue, 5000)
    entry(cue, 5000)
    assert (purge(), Horizon.objects.count()) == ({}, 0)


def test_each_kind_has_its_own_time(cue: Cue, settings: Any) -> None:
    ended(cue, 10)
    alert(cue, 10)
    entry(cue, 10)
    for kind, gone in (
        ("attempt_bodies", "response bodies"),
        ("executions", "executions"),
        ("ledger", "ledger rows"),
        ("alerts", "alerts"),
    ):
        keep(settings, **{kind: 10})
        assert purge() == {gone: 1}


def test_what_is_removed_whole_is_not_emptied_first(cue: Cue) -> None:
    ended(cue, 90)
    counts = {name: rows.count() for name, rows in retention.over(retention.ends(now=NOW)).items()}
    assert (counts["response bodies"], counts["executions"]) == (0, 1)


@pytest.mark.parametrize("days", ["-1", "36501", "many"])
def test_a_number_of_days_that_cannot_be_is_refused_at_the_start(days: str) -> None:
    with pytest.raises(ValueError, match="retention_ledger_days"):
        type(django_settings.CUEAPI)(retention_ledger_days=days)
