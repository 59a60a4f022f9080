"""The audit trail itself: what an entry holds, who acts, and that it is only ever added to."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from cueapi import keys, trail
from cueapi.models import AppendOnly, AuditAction, AuditEvent, SubjectType
from cueapi.trail import MASK, Address, Change, Secret, Subject
from executions import purging
from executions.models import Horizon, Kept
from tests.support import make
from tests.support.api import Api
from tests.support.make import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def entry(**facts: Any) -> AuditEvent:
    """One entry about a cue whose facts became these."""
    with transaction.atomic():
        subject = Subject(SubjectType.CUE, "cue_1", "digest", None)
        trail.record(Change(AuditAction.CUE_UPDATED, subject, {}, facts), now=NOW)
    return newest()


def newest() -> AuditEvent:
    found: AuditEvent = AuditEvent.objects.order_by("-id")[0]
    return found


def test_an_entry_holds_only_what_differs() -> None:
    subject = Subject(SubjectType.CUE, "cue_1", "digest", None)
    trail.record(Change(AuditAction.CUE_UPDATED, subject, {"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}), now=NOW)
    assert (newest().before, newest().after) == ({"b": 2}, {"b": 3, "c": 4})


def test_a_change_of_nothing_leaves_no_entry() -> None:
    change = Change(AuditAction.CUE_UPDATED, Subject(SubjectType.CUE, "cue_1", "digest", None), {"a": 1}, {"a": 1})
    trail.record_difference(change, now=NOW)
    assert not AuditEvent.objects.exists()


@pytest.mark.parametrize(
    "value",
    [
        Secret("whsec_of-the-account"),
        {"Authorization": "Bearer of-the-receiver"},
        {"deep": [{"api_token": "of-the-receiver"}]},
        "a note with whsec_0123456789abcdef in it",
        "a note with cue_sk_0123456789abcdef in it",
        {"X-Key": Secret("of-the-receiver")},
        Address("https://hooks.example.org/in?key=of-the-receiver"),
    ],
)
def test_no_secret_is_kept(value: Any) -> None:
    kept = str(entry(what=value).after)
    assert not re.search("of-the-account|of-the-receiver|0123456789abcdef", kept)
    assert MASK in kept


def test_a_changed_secret_is_told_though_not_shown() -> None:
    subject = Subject(SubjectType.CUE, "cue_1", "digest", None)
    before, after = {"headers": {"X-Key": Secret("one")}}, {"headers": {"X-Key": Secret("two")}}
    trail.record_difference(Change(AuditAction.CUE_UPDATED, subject, before, after), now=NOW)
    assert newest().before == newest().after == {"headers": {"X-Key": MASK}}


def test_a_long_value_is_told_by_its_size_and_digest() -> None:
    kept = entry(payload={"text": "x" * 5000}).after["payload"]
    assert kept["characters"] == len('{"text": ""}') + 5000
    assert kept != entry(payload={"text": "y" * 5000}).after["payload"]


def test_without_a_request_it_is_the_system_that_acts() -> None:
    assert (entry(a=1).actor_kind, newest().request_id, newest().address) == ("system", "", "")


def test_a_rule_acts_in_nobodys_name() -> None:
    with trail.begin("192.0.2.1"), trail.by_rule("on_failure.pause"):
        told = entry(a=1)
    assert (told.actor_kind, told.actor, told.address) == ("system", "on_failure.pause", "")


def test_who_acts_is_forgotten_with_the_request(api: Api) -> None:
    api.post("/v1/auth/keys", {"label": "laptop"})
    assert newest().actor_kind == "api_key"
    assert entry(a=1).actor_kind == "system"


@pytest.mark.django_db(transaction=True)
def test_outside_of_a_transaction_nothing_is_recorded() -> None:
    with pytest.raises(transaction.TransactionManagementError, match="one transaction"):
        trail.record(Change(AuditAction.CUE_UPDATED, Subject(SubjectType.CUE, "cue_1", "digest", None)), now=NOW)
    assert not AuditEvent.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_change_that_is_rolled_back_leaves_no_entry() -> None:
    account = make.account()
    before = AuditEvent.objects.count()
    with pytest.raises(RuntimeError), transaction.atomic():
        keys.issue(account, label="laptop", created_by="user", now=NOW)
        assert AuditEvent.objects.count() == before + 1
        raise RuntimeError
    assert AuditEvent.objects.count() == before


# --- Append only ------------------------------------------------------------------------------------------------


def test_the_orm_neither_changes_nor_deletes_an_entry() -> None:
    told = entry(a=1)
    for attempt in (
        lambda: AuditEvent.objects.update(actor="nobody"),
        lambda: AuditEvent.objects.all().delete(),
        lambda: AuditEvent.objects.bulk_update([told], ["actor"]),
        told.save,
        told.delete,
    ):
        with pytest.raises(AppendOnly, match="written once"):
            attempt()
    assert newest().after == {"a": 1}


@pytest.mark.parametrize(
    "statement", ["UPDATE cueapi_auditevent SET actor = 'nobody'", "DELETE FROM cueapi_auditevent"]
)
def test_the_database_refuses_it_too(statement: str) -> None:
    entry(a=1)
    with pytest.raises(DatabaseError, match="audit trail"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert newest().actor == ""


def test_retention_removes_what_is_over_and_the_database_keeps_the_rest(settings: Any) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"retention_audit_days": 10})
    entry(a=1)
    purging.purge(now=NOW + timedelta(days=9))
    assert AuditEvent.objects.count() == 1
    assert purging.purge(now=NOW + timedelta(days=11)).removed["audit entries"] == 1
    assert not AuditEvent.objects.exists()
    assert Horizon.objects.get(kind=Kept.TRAIL).at == NOW + timedelta(days=1)


def test_for_ever_is_for_ever(settings: Any) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"retention_audit_days": 0})
    entry(a=1)
    purging.purge(now=NOW + timedelta(days=3650))
    assert AuditEvent.objects.count() == 1


def test_an_entry_outlives_its_account() -> None:
    account = make.account()
    account_id = account.pk
    account.delete()
    assert AuditEvent.objects.filter(account_id=account_id, action="account.created").count() == 1
