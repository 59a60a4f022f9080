"""Rows as a test wants them, made without the API. What is not named has the default of a plain webhook cue."""

from datetime import UTC, datetime
from typing import Any

from cueapi import accounts, outbound, usage
from cueapi.models import Account, MonthlyUsage, month_of
from cues import beat, history
from cues.models import Cue
from executions.failures import ErrorClass
from executions.models import Execution
from executions.states import FAILURE, FINAL, Status, Trigger

NOW = datetime(2031, 5, 4, 9, 0, tzinfo=UTC)
NOWHERE = "http://127.0.0.1:9/hook"  # permitted, and nobody listens


def account(email: str = "ada@example.org", **columns: Any) -> Account:
    made, _ = accounts.register(email, now=NOW)
    for name, value in columns.items():
        setattr(made, name, value)
    made.save()
    return made


def cue(owner: Account, **columns: Any) -> Cue:
    """A one-shot that is due at NOW, unless `columns` say otherwise."""
    url = columns.get("callback_url", NOWHERE)
    given = {
        "name": f"cue-{Cue.objects.count() + 1}",
        "schedule_type": "once",
        "at": NOW,
        "next_run": NOW,
        "callback_url": url,
        "lane": outbound.lane_of(url) if url else "",
        "created_at": NOW,
        "updated_at": NOW,
    }
    made = Cue(account=owner, **given | columns)
    beat.sync(made)
    made.save(force_insert=True)
    history.begin(made, now=made.created_at)
    return made


def recurring(owner: Account, cron: str = "*/5 * * * *", **columns: Any) -> Cue:
    """A recurring cue with its periodic task, due at NOW."""
    return cue(owner, **{"schedule_type": "recurring", "cron": cron, "at": None} | columns)


def execution(of: Cue, **columns: Any) -> Execution:
    """A pending execution of the cue, due at NOW; a final one is closed at NOW, and a failure has a class."""
    final = columns.get("status") in FINAL
    given = {
        "account_id": of.account_id,
        "transport": of.transport,
        "lane": of.lane,
        "triggered_by": Trigger.MANUAL_FIRE,
        "scheduled_for": NOW,
        "status": Status.PENDING,
        "payload": of.payload,
        "due_at": None if final else NOW,
        "closed_at": NOW if final else None,
        "error_class": ErrorClass.INTERNAL if columns.get("status") in FAILURE else None,
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Execution.objects.create(cue=of, **given | columns)


def over_month(owner: Account, *, now: datetime) -> None:
    """The account's month is used up, and its grace is over."""
    Account.objects.filter(pk=owner.pk).update(monthly_execution_limit=1)
    started_at = now - usage.GRACE
    MonthlyUsage.objects.create(account=owner, month=month_of(now), executions=1, limit_reached_at=started_at)


def body(**fields: Any) -> dict[str, Any]:
    """The body of a create call: a recurring webhook cue."""
    return {
        "name": "digest",
        "schedule": {"type": "recurring", "cron": "*/5 * * * *"},
        "callback": {"url": NOWHERE},
    } | fields
