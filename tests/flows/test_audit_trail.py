"""Each kind of change leaves one entry, with who did it and what differed: over the API, our pages, the admin."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from cueapi import accounts, clock, keys
from cueapi.models import Account, ApiKey, AuditEvent
from cueapi.trail import MASK
from cues.models import Cue
from executions import recovery
from executions.models import Destination
from executions.states import OutcomeState, Status
from tests.support import admin, login, make
from tests.support.api import Api
from tests.support.make import NOW
from tests.support.pages import Browser
from tests.support.together import at_once

pytestmark = [pytest.mark.django_db, pytest.mark.database]

CONFIRM = {"x_confirm_destructive": "true"}
HEADER_SECRET = "Bearer of-the-receiver"


@contextmanager
def told(*actions: str) -> Iterator[list[AuditEvent]]:
    """The entries that the block leaves, which must be these."""
    last = AuditEvent.objects.order_by("-id").values_list("id", flat=True).first() or 0
    found: list[AuditEvent] = []
    yield found
    found += AuditEvent.objects.filter(id__gt=last).order_by("id")
    assert [event.action for event in found] == list(actions)


def made(api: Api, **fields: Any) -> Cue:
    answer = api.post("/v1/cues", make.body(**fields))
    assert answer.status_code == 201, answer.content
    cue: Cue = Cue.objects.get(pk=answer.json()["id"])
    return cue


def destination(api: Api) -> Destination:
    assert api.account
    found: Destination = Destination.objects.create(account=api.account, lane="https://hooks.example.org:443")
    return found


def key_of(api: Api) -> str:
    return f"{api.key[:12]}…" if api.key else ""


# --- Over the API -----------------------------------------------------------------------------------------------


def test_a_new_cue_is_told_with_what_was_set_and_without_its_header_values(api: Api) -> None:
    callback = {"url": make.NOWHERE, "headers": {"Authorization": HEADER_SECRET}}
    with told("cue.created") as entries:
        cue = made(api, name="digest", callback=callback)
    (entry,) = entries
    assert (entry.actor_kind, entry.actor, entry.address) == ("api_key", key_of(api), "127.0.0.1")
    assert (entry.account_id, entry.subject_type, entry.subject_id, entry.subject_name) == (
        cue.account_id,
        "cue",
        cue.pk,
        "digest",
    )
    assert entry.before == {}
    assert entry.after["callback.headers"] == {"Authorization": MASK}
    assert entry.after["schedule.cron"] == cue.cron


def test_an_entry_names_the_request_that_made_the_change(api: Api) -> None:
    answer = api.post("/v1/cues", make.body())
    assert AuditEvent.objects.get(action="cue.created").request_id == answer.headers["X-Request-Id"]


def test_a_changed_cue_is_told_by_the_fields_that_differ(api: Api) -> None:
    cue = made(api, name="digest")
    with told("cue.updated") as entries:
        api.patch(f"/v1/cues/{cue.pk}", {"name": "report", "retry": {"max_attempts": 7, "backoff_minutes": [1, 5, 15]}})
    assert entries[0].before == {"name": "digest", "retry.max_attempts": cue.max_attempts}
    assert entries[0].after == {"name": "report", "retry.max_attempts": 7}


def test_a_patch_that_changes_nothing_leaves_no_entry(api: Api) -> None:
    cue = made(api)
    with told():
        assert api.patch(f"/v1/cues/{cue.pk}", {"name": cue.name}).status_code == 200


@pytest.mark.parametrize("by", ["path", "patch"])
def test_a_switch_is_told_as_a_pause_and_a_resumption(api: Api, by: str) -> None:
    cue = made(api)

    def switch(verb: str, status: str) -> None:
        if by == "path":
            api.post(f"/v1/cues/{cue.pk}/{verb}")
        else:
            api.patch(f"/v1/cues/{cue.pk}", {"status": status})

    with told("cue.paused") as entries:
        switch("pause", "paused")
    assert (entries[0].before, entries[0].after) == ({"status": "active"}, {"status": "paused"})
    with told("cue.resumed"):
        switch("resume", "active")


def test_a_deleted_cue_is_told_with_what_it_was(api: Api) -> None:
    cue = made(api, name="digest")
    with told("cue.deleted") as entries:
        api.delete(f"/v1/cues/{cue.pk}")
    assert (entries[0].before["name"], entries[0].after) == ("digest", {})


def test_each_of_many_deleted_cues_is_told(api: Api) -> None:
    cues = [made(api, name=name).pk for name in ("one", "two")]
    with told("cue.deleted", "cue.deleted"):
        api.post("/v1/cues/bulk-delete", {"ids": [*cues, "cue_missing"]}, **CONFIRM)


def test_keys_are_told_without_their_text(api: Api) -> None:
    with told("key.created") as entries:
        key = api.post("/v1/auth/keys", {"label": "laptop"}).json()
    assert entries[0].after == {"prefix": key["prefix"], "label": "laptop", "created_by": "user"}
    path = f"/v1/auth/keys/{key['id']}"
    with told("key.renamed") as entries:
        api.patch(path, {"label": "desk"})
    assert (entries[0].before, entries[0].after) == ({"label": "laptop"}, {"label": "desk"})
    with told("key.revoked"):
        api.delete(path, **CONFIRM)
    with told():
        api.delete(path, **CONFIRM)  # it was revoked already
    with told("key.rotated") as entries:
        new = api.post("/v1/auth/key/regenerate", **CONFIRM).json()["api_key"]
    assert entries[0].after["prefix"] == new[:12]
    assert new not in str(list(AuditEvent.objects.values()))


@pytest.mark.parametrize("which", ["webhook-secret", "alert-webhook-secret"])
def test_a_new_secret_is_told_and_not_shown(api: Api, which: str) -> None:
    old = next(iter(api.get(f"/v1/auth/{which}").json().values()))
    with told("secret.rotated") as entries:
        answer = api.post(f"/v1/auth/{which}/regenerate", **CONFIRM).json()
    name = which.replace("-", "_")
    assert entries[0].before[name] == entries[0].after[name] == MASK
    kept = str(list(AuditEvent.objects.values()))
    assert old not in kept
    assert answer[name] not in kept


def test_an_accounts_settings_are_told(api: Api) -> None:
    with told("account.updated") as entries:
        api.patch("/v1/auth/me", {"email": "grace@example.org", "alert_email": True})
    assert (entries[0].before, entries[0].after) == ({"email": "ada@example.org"}, {"email": "grace@example.org"})


def test_secrets_in_addresses_are_not_shown_and_that_they_changed_is(api: Api) -> None:
    cue = made(api, callback={"url": f"{make.NOWHERE}?token=one-of-the-receiver"})
    with told("cue.updated", "account.updated") as entries:
        api.patch(f"/v1/cues/{cue.pk}", {"callback": {"url": f"{make.NOWHERE}?token=two-of-the-receiver"}})
        api.patch("/v1/auth/me", {"alert_webhook_url": f"{make.NOWHERE}?token=of-the-receiver"})
    assert entries[0].before == entries[0].after == {"callback.url": f"{make.NOWHERE}?token={MASK}"}
    assert entries[1].after == {"alert_webhook_url": f"{make.NOWHERE}?token={MASK}"}
    assert "of-the-receiver" not in str(list(AuditEvent.objects.values()))


def test_a_new_account_is_told_with_its_key(anyone: Api) -> None:
    with told("account.created", "key.created") as entries:
        anyone.post("/v1/auth/register", {"email": "new@example.org"})
    assert {(entry.actor_kind, entry.address) for entry in entries} == {("system", "127.0.0.1")}


@pytest.mark.django_db(transaction=True)
def test_a_login_by_device_is_told_as_such(anyone: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with told("account.created", "key.created") as entries:
        login.approved(anyone, caplog, "new@example.org")
    assert {(entry.actor_kind, entry.actor) for entry in entries} == {("device_login", "new@example.org")}


def test_destinations_are_told(api: Api) -> None:
    path = f"/v1/destinations/{destination(api).pk}"
    with told("destination.opened", "destination.closed", "destination.paced") as entries:
        api.post(f"{path}/open")
        api.post(f"{path}/open")  # it is open already
        api.post(f"{path}/close")
        api.patch(path, {"rate_per_minute": 60})
    assert entries[0].after == {"state": "open", "opened_by_hand": True}
    assert (entries[2].before, entries[2].after) == ({"rate_per_minute": None}, {"rate_per_minute": 60})


def test_a_replay_and_a_persons_verdict_are_told(api: Api) -> None:
    run = make.execution(
        make.recurring(api.account),
        status=Status.SUCCESS,
        outcome_state=OutcomeState.VERIFICATION_PENDING,
        outcome_recorded_at=NOW,
        outcome_success=True,
    )
    with told("execution.verified") as entries:
        assert api.post(f"/v1/executions/{run.pk}/verify", {"valid": True}).status_code == 200
    assert entries[0].after == {"outcome_state": "verified_success"}
    with told("execution.replayed") as entries:
        new = api.post(f"/v1/executions/{run.pk}/replay").json()
    assert entries[0].after["replayed_as"] == new["id"]


REFUSED: dict[str, Callable[[Api, Cue], Any]] = {
    "a taken name": lambda api, cue: api.post("/v1/cues", make.body(name=cue.name)),
    "a bad schedule": lambda api, cue: api.patch(f"/v1/cues/{cue.pk}", {"schedule": {"cron": "never"}}),
    "a missing cue": lambda api, cue: api.delete("/v1/cues/cue_missing"),
    "no confirmation": lambda api, cue: api.post("/v1/auth/key/regenerate"),
    "the last key": lambda api, cue: api.delete(f"/v1/auth/keys/{ApiKey.objects.get().pk}", **CONFIRM),
    "a taken address": lambda api, cue: api.post("/v1/auth/register", {"email": "ada@example.org"}),
    "no such destination": lambda api, cue: api.post("/v1/destinations/99/open"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_refused_change_leaves_no_entry(api: Api, why: str) -> None:
    cue = made(api)
    with told():
        assert REFUSED[why](api, cue).status_code >= 400


@pytest.mark.django_db(transaction=True)
def test_two_changes_at_once_leave_two_entries(api: Api) -> None:
    cue = made(api)
    names = ("one", "two")
    with told("cue.updated", "cue.updated") as entries:
        at_once([lambda name=name: api.patch(f"/v1/cues/{cue.pk}", {"name": name}) for name in names])
    first, second = entries
    assert first.before["name"] == cue.name
    assert second.before == first.after  # the later one saw what the earlier one did


def test_firing_delivering_and_looking_leave_none(api: Api) -> None:
    cue = made(api)
    with told():
        api.post(f"/v1/cues/{cue.pk}/fire")
        api.get("/v1/cues")
        api.get("/v1/audit-events")


# --- By rule ----------------------------------------------------------------------------------------------------


def test_a_pause_after_failure_is_the_systems_whoever_reported_it(api: Api) -> None:
    cue = make.recurring(api.account, on_failure_pause=True, transport="worker")
    run = make.execution(cue, status=Status.DELIVERING, claimed_by_worker="w", claimed_at=NOW)
    with told("cue.paused") as entries:
        assert api.post(f"/v1/executions/{run.pk}/outcome", {"success": False}).status_code == 200
    assert (entries[0].actor_kind, entries[0].address) == ("system", "")
    assert str(run.pk) in entries[0].actor


def test_a_switch_found_by_the_sweep_is_the_systems(api: Api) -> None:
    cue = make.recurring(api.account)
    PeriodicTask.objects.filter(pk=cue.periodic_task_id).update(enabled=False)
    with told("cue.paused") as entries:
        recovery.follow_switches(NOW)
    assert entries[0].actor == "its periodic task was switched off"


# --- Over our own pages -----------------------------------------------------------------------------------------


def test_a_page_acts_as_the_session_of_its_account(api: Api) -> None:
    assert api.account
    browser = Browser(api.account)
    with told("key.created", "account.updated") as entries:
        browser.post("/keys", label="laptop")
        browser.post("/settings/save", email="ada@example.org", alert_webhook_url="", alert_email="")
    assert {(entry.actor_kind, entry.actor) for entry in entries} == {("session", "ada@example.org")}


def test_the_page_of_the_trail_shows_what_differed_to_its_account_alone(api: Api, stranger: Api) -> None:
    cue = made(api, name=f"digest {admin.HOSTILE}")
    api.patch(f"/v1/cues/{cue.pk}", {"description": "for the morning"})
    assert api.account
    assert stranger.account
    text = Browser(api.account).text("/audit", subject=cue.pk)
    assert "for the morning" in text
    assert key_of(api) in text
    assert "account.created" not in text.split("<tbody>")[1]
    assert "for the morning" not in Browser(stranger.account).text("/audit")


# --- Over the admin ---------------------------------------------------------------------------------------------


@pytest.fixture
def root() -> admin.Admin:
    return admin.superuser()


def by_root(entry: AuditEvent) -> bool:
    return (entry.actor_kind, entry.actor, entry.address) == ("admin", "root@example.org", "127.0.0.1")


def test_the_admins_actions_are_the_admins(api: Api, root: admin.Admin) -> None:
    cue, place = made(api), destination(api)
    key = keys.issue(cue.account, label="laptop", created_by="user", now=clock.now())[0]
    with told("cue.paused", "cue.resumed", "key.revoked", "destination.opened") as entries:
        root.act("pause", cue)
        root.act("resume", cue)
        root.act("revoke", key)
        root.act("revoke", key)  # it is revoked already
        root.act("open_breaker", place, confirmed="yes")
    assert all(by_root(entry) and entry.account_id == cue.account_id for entry in entries)


def test_a_cue_deleted_in_the_admin_is_told(api: Api, root: admin.Admin) -> None:
    cue = made(api)
    with told("cue.deleted") as entries:
        root.act("delete_selected", cue, post="yes")
    assert by_root(entries[0])


def test_an_account_changed_in_the_admin_is_told(api: Api, root: admin.Admin) -> None:
    account = Account.objects.get(email="ada@example.org")
    form = {
        "email": account.email,
        "plan": account.plan,
        "is_active": "on",
        "alert_email": "on",
        "active_cue_limit": "7",
        "monthly_execution_limit": str(account.monthly_execution_limit),
        "rate_limit_per_minute": str(account.rate_limit_per_minute),
    }
    with told("account.updated") as entries:
        answer = root.client.post(admin.page_url(account), form)
        assert answer.status_code == 302, answer.content
    assert by_root(entries[0])
    assert entries[0].before == {"active_cue_limit": account.active_cue_limit}
    assert entries[0].after == {"active_cue_limit": 7}
    with told():
        root.client.post(admin.page_url(account), form)


def test_a_password_set_in_the_admin_is_told_and_not_shown(api: Api, root: admin.Admin) -> None:
    account = Account.objects.get(email="ada@example.org")
    form = {"password1": admin.PASSWORD, "password2": admin.PASSWORD, "usable_password": "true"}
    with told("account.updated") as entries:
        assert root.client.post(f"/admin/cueapi/account/{account.pk}/password/", form).status_code == 302
    assert (entries[0].before, entries[0].after) == ({}, {"password": MASK})
    assert by_root(entries[0])
    own = {"old_password": admin.PASSWORD, "new_password1": "another battery", "new_password2": "another battery"}
    with told("account.updated") as entries:
        assert root.client.post("/admin/password_change/", own).status_code == 302
    assert (entries[0].account_id, by_root(entries[0])) == (root.account.pk, True)


def test_a_periodic_task_of_a_cue_that_is_switched_off_is_told_as_a_pause(api: Api, root: admin.Admin) -> None:
    task = made(api).periodic_task
    with told("cue.paused") as entries:
        root.act("disable_tasks", task)
    assert by_root(entries[0])


def test_an_ordinary_periodic_task_is_told(root: admin.Admin) -> None:
    every = IntervalSchedule.objects.create(every=5, period="seconds")
    task = PeriodicTask.objects.create(name="sweep", task="executions.sweep", interval=every)
    with told("task.updated", "task.deleted") as entries:
        root.act("disable_tasks", task)
        root.act("delete_selected", task, post="yes")
    assert (entries[0].before, entries[0].after) == ({"enabled": True}, {"enabled": False})
    assert all(by_root(entry) and entry.account_id is None for entry in entries)


def test_the_admin_shows_the_trail_and_lets_nobody_touch_it(api: Api, root: admin.Admin) -> None:
    cue = made(api, name=f"digest {admin.HOSTILE}")
    entry = AuditEvent.objects.get(subject_id=cue.pk)
    page = root.text(admin.page_url(entry))
    assert "callback.url" in page
    assert admin.HOSTILE not in page
    for term, shown in ((cue.pk, 1), ("ada@example.org", 3), ("nobody@example.org", 0), (cue.pk[:-1], 0)):
        rows = root.text(f"{admin.list_url(AuditEvent)}?q={term}")
        assert len(set(re.findall(r"/auditevent/(\d+)/change/", rows))) == shown, term
    for path in ("add/", f"{entry.pk}/delete/"):
        assert root.client.get(f"{admin.list_url(AuditEvent)}{path}").status_code == 403
    assert root.client.post(admin.page_url(entry), {"actor": "nobody"}).status_code == 403


# --- GET /v1/audit-events ---------------------------------------------------------------------------------------


def test_the_trail_is_listed_newest_first_and_paged_by_position(api: Api) -> None:
    for name in ("one", "two", "three"):
        made(api, name=name)
    first = api.get("/v1/audit-events", action="cue.created", limit="2").json()
    assert [event["subject"]["name"] for event in first["audit_events"]] == ["three", "two"]
    made(api, name="four")  # moves nothing
    last = api.get("/v1/audit-events", action="cue.created", limit="2", cursor=first["next_cursor"]).json()
    assert [event["subject"]["name"] for event in last["audit_events"]] == ["one"]
    assert last["next_cursor"] is None


def test_the_trail_is_filtered(api: Api) -> None:
    cue, other = made(api, name="one"), made(api, name="two")
    api.post(f"/v1/cues/{cue.pk}/pause")

    def found(**query: str) -> list[tuple[str, str]]:
        answer = api.get("/v1/audit-events", **query)
        assert answer.status_code == 200, answer.content
        return [(one["action"], one["subject"]["id"]) for one in answer.json()["audit_events"]]

    assert found(subject_id=cue.pk) == [("cue.paused", cue.pk), ("cue.created", cue.pk)]
    assert found(action="cue.created", subject_type="cue") == [("cue.created", other.pk), ("cue.created", cue.pk)]
    assert len(found(actor_kind="system")) == 2  # the account and its first key
    assert found(since="2099-01-01T00:00:00Z") == found(until="2001-01-01T00:00:00+02:00") == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[
            ("action", "cue.eaten"),
            ("actor_kind", "ghost"),
            ("subject_type", "x"),
            ("since", "yesterday"),
            ("until", "2031-05-04T09:00:00"),
        ],
        *[("cursor", "nonsense"), ("cursor", "newer.x"), ("limit", "0")],
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(api: Api, name: str, value: str) -> None:
    answer = api.get("/v1/audit-events", **{name: value})
    assert answer.status_code == 422
    assert f"query.{name}" in answer.content.decode()


def test_one_entry_is_shown_by_its_id(api: Api) -> None:
    listed = api.get("/v1/audit-events").json()["audit_events"][0]
    assert api.get(f"/v1/audit-events/{listed['id']}").json() == listed


def test_a_stranger_sees_nothing_of_it(api: Api, stranger: Api) -> None:
    cue = made(api)
    assert stranger.get("/v1/audit-events", subject_id=cue.pk).json()["audit_events"] == []
    mine = AuditEvent.objects.get(subject_id=cue.pk)
    assert stranger.get(f"/v1/audit-events/{mine.pk}").status_code == 404


def test_a_first_sign_in_is_told(anyone: Api) -> None:
    with told("account.created") as entries:
        accounts.find_or_open("new@example.org", now=NOW)
    assert entries[0].subject_name == "new@example.org"
