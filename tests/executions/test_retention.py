"""What is too old goes, and all that tells of something younger stays; whoever asks is told so."""

from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command

from cueapi import clock
from cueapi.errors import NotFound
from cues import services
from cues.models import Cue, LedgerEntry
from executions import alerts, firing, purging, retention, statistics, tasks
from executions.models import (
    Alert,
    Attempt,
    Destination,
    Execution,
    Horizon,
    HourFigures,
    Kept,
    Notification,
    Step,
    Worker,
)
from executions.states import Status, Trigger
from tests.support import make
from tests.support.api import Api
from tests.support.make import NOW
from tests.support.old import DAY, alert, ended, entry, keep, long_ended, purge
from tests.support.worker import Worker as Tasks

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.fixture(autouse=True)
def _the_audit_trail_is_kept(settings: Any) -> None:
    """Its entries have tests of their own (tests/cueapi/test_trail.py)."""
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"retention_audit_days": 0})


@pytest.fixture
def cue(api: Api) -> Cue:
    return make.cue(api.account)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, at_most in (("EXECUTIONS_MAX", 2), ("ROWS_MAX", 2), ("WALK_MAX", 1)):
        monkeypatch.setattr(purging, name, at_most)


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
        ("audit", "audit entries"),
    ):
        keep(settings, **{kind: 10})
        assert set(purge()) == {gone}


def test_what_is_removed_whole_is_not_emptied_first(cue: Cue) -> None:
    ended(cue, 90)
    counts = {name: rows.count() for name, rows in retention.over(retention.ends(now=NOW)).items()}
    assert (counts["response bodies"], counts["executions"]) == (0, 1)


@pytest.mark.parametrize("days", ["-1", "36501", "many"])
def test_a_number_of_days_that_cannot_be_is_refused_at_the_start(days: str) -> None:
    with pytest.raises(ValueError, match="retention_ledger_days"):
        type(django_settings.CUEAPI)(retention_ledger_days=days)


def test_the_horizon_never_goes_back(settings: Any) -> None:
    keep(settings, executions=10, ledger=20)
    purge()
    keep(settings, executions=30)
    purge()
    assert retention.horizons() == {Kept.EXECUTIONS: NOW - 10 * DAY, Kept.LEDGER: NOW - 20 * DAY}


def destination(of: Cue, days: float | None, lane: str, **columns: Any) -> Destination:
    looked_at = None if days is None else NOW - days * DAY
    return Destination.objects.create(account=of.account, lane=lane, looked_at=looked_at, **columns)


def test_a_destination_goes_that_nothing_was_sent_to_for_as_long_as_executions_are_kept(cue: Cue) -> None:
    young, new = destination(cue, 89, "https://young:443"), destination(cue, None, "https://new:443")
    destination(cue, 91, "https://old:443", state="open", probe_at=NOW)
    assert purge() == {"destinations": 1}
    assert set(Destination.objects.all()) == {young, new}


def test_a_destination_with_a_rate_with_work_that_waits_or_opened_by_hand_stays(cue: Cue, stranger: Api) -> None:
    limited = destination(cue, 91, "https://limited:443", rate_per_minute=6)
    awaited = destination(cue, 91, "https://awaited:443")
    held = destination(cue, 91, "https://held:443", state="open")
    make.execution(cue, lane="https://awaited:443", status=Status.RETRYING, due_at=NOW + DAY)
    destination(make.cue(stranger.account), 91, "https://awaited:443")
    assert purge() == {"destinations": 1}
    assert set(Destination.objects.all()) == {limited, awaited, held}


# --- What else there is -----------------------------------------------------------------------------------------


def test_figures_and_lists_go_on_without_the_executions_that_went(cue: Cue, api: Api, settings: Any) -> None:
    keep(settings, executions=1)
    ended(cue, 2)
    purge()
    assert statistics.of_cue(cue, now=NOW) == statistics.CueStats(0, None, None)
    for path in (f"/v1/cues/{cue.pk}", "/v1/usage", "/v1/executions", "/v1/alerts", f"/v1/cues/{cue.pk}/ledger"):
        assert api.get(path).status_code == 200


def test_a_streak_is_made_of_the_executions_that_are_kept(cue: Cue, settings: Any) -> None:
    keep(settings, executions=1)
    for _ in range(2):
        ended(cue, 2)
    purge()
    for count in (1, 2, 3):
        alerts.after_end(ended(cue, 0), now=NOW)
        assert Alert.objects.filter(alert_type="consecutive_failures").exists() == (count == 3)


def test_a_removed_execution_answers_like_one_that_never_was(cue: Cue, api: Api) -> None:
    old = ended(cue, 90)
    purge()
    for gone, never in zip(*(answers(api, pk) for pk in (old.pk, uuid4())), strict=True):
        assert gone == never


def answers(api: Api, pk: Any) -> list[tuple[int, str]]:
    path = f"/v1/executions/{pk}"
    given = [
        api.get(path),
        api.post(f"{path}/replay"),
        api.post(f"{path}/outcome", {"success": True}),
        api.post(f"{path}/heartbeat"),
        api.post(f"{path}/verify"),
        api.patch(f"{path}/evidence", {"external_id": "x"}),
    ]
    return [(answer.status_code, answer.json()["error"]["code"]) for answer in given]


def test_an_original_that_goes_while_it_is_replayed_is_not_found(cue: Cue) -> None:
    original = ended(cue, 90)
    purge()
    with pytest.raises(NotFound):
        firing.replay(original, now=NOW)
    assert Execution.objects.count() == 0


# --- Who asks for it --------------------------------------------------------------------------------------------


def test_beat_asks_for_it_every_hour() -> None:
    job = django_settings.CELERY_BEAT_SCHEDULE["purge"]
    assert job["task"] == tasks.purge.name
    assert (job["schedule"].hour, len(job["schedule"].minute)) == (set(range(24)), 1)


def test_old_hours_of_figures_go_with_the_rest(cue: Cue) -> None:
    now = clock.now().replace(minute=0, second=0, microsecond=0)
    for days in (1, 91):
        HourFigures.objects.create(account=cue.account, hour=now - days * DAY)
    tasks.purge()
    assert [row.hour for row in HourFigures.objects.all()] == [now - DAY]


@pytest.mark.django_db(transaction=True)
def test_a_message_that_is_out_of_time_is_followed_by_another_until_all_is_done(
    cue: Cue, worker: Tasks, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "PURGE_S", 0)
    long_ended(cue, 5)
    tasks.purge()
    assert Execution.objects.count() == 3
    assert worker.run() == ["executions.purge", "executions.purge"]
    assert (Execution.objects.count(), worker.run()) == (0, [])


@pytest.mark.django_db(transaction=True)
def test_the_messages_end_before_the_next_hours_come(
    cue: Cue, worker: Tasks, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "PURGE_S", 0)
    long_ended(cue, 5)
    tasks.purge(stop_at=clock.now().timestamp() - 1)
    assert worker.waiting() == []
    tasks.purge()
    ((_, kwargs),) = worker.waiting()
    assert 0 < kwargs["stop_at"] - clock.now().timestamp() < 3600


def test_the_command_says_what_would_go_and_then_what_went(cue: Cue, capsys: Any) -> None:
    long_ended(cue, 3)
    alert(cue, 0)
    call_command("purge", dry_run=True)
    told = capsys.readouterr().out.splitlines()
    assert "executions                      3" in told
    assert told[-1].startswith("3 in all would be removed;")
    assert Execution.objects.count() == 3
    call_command("purge")
    again = capsys.readouterr().out.splitlines()
    assert again[:-1] == told[:-1]
    assert again[-1].startswith("3 in all removed;")
    assert Execution.objects.count() == 0
    for dry_run, says in ((True, "Nothing would be removed"), (False, "Nothing was removed")):
        call_command("purge", dry_run=dry_run)
        assert capsys.readouterr().out.splitlines()[-1].startswith(says)
