"""Retention: what is kept how long, what is over by now, and how far back each kind of rows can be relied on.

`executions.purging` removes what is over. How far back each kind reaches is noted before its first row goes
(`Horizon`), so that nobody mistakes for a fault what was only removed.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from cueapi.conf import conf
from cueapi.models import AuditEvent
from cues.models import Definition, LedgerEntry, Transport
from executions.models import Alert, Destination, Execution, Horizon, Kept, Notification
from executions.states import WAITING, BreakerState

BODIES, EXECUTIONS, ENTRIES, DEFINITIONS, ALERTS, MAILS, DESTINATIONS, AUDITED = REMOVED = (
    "response bodies",
    "executions",
    "ledger rows",
    "past definitions",
    "alerts",
    "mails about workers",
    "destinations",
    "audit entries",
)
"""What is counted: the response bodies by the executions that had them."""

Ends = Mapping[Kept, datetime]
"""For each kind that is not kept for ever, the instant before which it goes."""


def ends(*, now: datetime) -> Ends:
    """Where each kind ends by the settings in force; those that are kept for ever are left out."""
    days = {
        Kept.BODIES: conf().retention_attempt_bodies_days,
        Kept.EXECUTIONS: conf().retention_executions_days,
        Kept.LEDGER: conf().retention_ledger_days,
        Kept.ALERTS: conf().retention_alerts_days,
        Kept.TRAIL: conf().retention_audit_days,
    }
    return {kind: now - timedelta(days=number) for kind, number in days.items() if number}


def horizons() -> Ends:
    """How far back each kind can be relied on, whatever the settings are today. Read it after the rows in question."""
    return {Kept(horizon.kind): horizon.at for horizon in Horizon.objects.all()}


def note(limits: Ends) -> None:
    """Move the horizons forward. They never move back: what was removed under another setting stays removed."""
    Horizon.objects.bulk_create([Horizon(kind=kind, at=at) for kind, at in limits.items()], ignore_conflicts=True)
    for kind, at in limits.items():
        Horizon.objects.filter(kind=kind, at__lt=at).update(at=at)


# --- What is over -----------------------------------------------------------------------------------------------


def over(ends: Ends) -> dict[str, QuerySet[Any]]:
    """The rows that are to go, by what they are."""
    found: dict[str, QuerySet[Any]] = {}
    if Kept.BODIES in ends:
        since = {"closed_at__gte": ends[Kept.EXECUTIONS]} if Kept.EXECUTIONS in ends else {}
        found[BODIES] = _ended_before(ends[Kept.BODIES]).filter(bodies_removed_at=None, **since)
    if Kept.EXECUTIONS in ends:
        found[EXECUTIONS] = _ended_before(ends[Kept.EXECUTIONS])
        found[DESTINATIONS] = _destinations_unused_since(ends[Kept.EXECUTIONS])
    if Kept.LEDGER in ends:
        found[ENTRIES] = _entries_before(ends[Kept.LEDGER])
        found[DEFINITIONS] = _definitions_replaced_by(ends[Kept.LEDGER])
    if Kept.ALERTS in ends:
        found[ALERTS] = Alert.objects.filter(created_at__lt=ends[Kept.ALERTS]).order_by("created_at")
        found[MAILS] = _mails_about_workers_before(ends[Kept.ALERTS])
    if Kept.TRAIL in ends:
        found[AUDITED] = AuditEvent.objects.filter(at__lt=ends[Kept.TRAIL]).order_by("at", "id")
    return found


def _ended_before(end: datetime) -> QuerySet[Execution]:
    ended: QuerySet[Execution] = Execution.objects.filter(closed_at__lt=end).order_by("closed_at")
    return ended


def _entries_before(end: datetime) -> QuerySet[LedgerEntry]:
    """Verdicts whose last window is older. The first one is asked too, because it is in the index."""
    last_is_older = Q(last_at=None) | Q(last_at__lt=end)
    return LedgerEntry.objects.filter(last_is_older, first_at__lt=end)


def _definitions_replaced_by(end: datetime) -> QuerySet[Definition]:
    """All but the definition that was in force then, and those that came after it."""
    later = Definition.objects.filter(cue=OuterRef("cue"), since__gt=OuterRef("since"), since__lte=end)
    return Definition.objects.filter(Exists(later), since__lt=end)


def _mails_about_workers_before(end: datetime) -> QuerySet[Notification]:
    """Those about an execution or an alert go with it."""
    return Notification.objects.filter(worker__isnull=False, due_at=None, sent_at__lt=end).order_by("sent_at")


def _destinations_unused_since(end: datetime) -> QuerySet[Destination]:
    """Those that nothing waits for and nobody opened by hand or gave a rate: the next webhook to one makes it anew."""
    waits = Execution.objects.filter(
        account=OuterRef("account"),
        lane=OuterRef("lane"),
        transport=Transport.WEBHOOK,
        status__in=WAITING,
        due_at__isnull=False,
    )
    unused = Destination.objects.filter(~Exists(waits), looked_at__lt=end, rate_per_minute=None)
    return unused.exclude(state=BreakerState.OPEN, probe_at=None)
