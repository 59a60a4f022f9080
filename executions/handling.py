"""Dead letters that somebody dealt with otherwise than by a replay: marked as handled, or put back on the list."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.db import transaction

from cueapi import trail
from cueapi.errors import Conflict
from cueapi.models import AuditAction, SubjectType
from cueapi.trail import Change, Subject
from cueapi.turns import taking_turns
from executions.models import Execution


class NotADeadLetter(Conflict):
    """This execution did not end badly, so there is nothing to deal with. GET /v1/dead-letters lists those that did."""

    code = "not_a_dead_letter"


def mark(ids: Iterable[UUID], *, handled: bool, by: str, now: datetime) -> int:
    """Say that `by` dealt with these, or take that back. How many it was news for: the others ended well, or were so.

    Of two who say the same at once, the first is noted, and leaves the entry in the audit trail.
    """
    action = AuditAction.EXECUTION_HANDLED if handled else AuditAction.EXECUTION_UNHANDLED
    with taking_turns(), transaction.atomic():
        news = Execution.objects.filter(pk__in=list(ids)).dead().filter(handled_at__isnull=handled).order_by("pk")
        held = list(news.select_for_update(no_key=True).values_list("pk", flat=True))
        rows = Execution.objects.filter(pk__in=held)
        changes = [
            Change(action, Subject(SubjectType.EXECUTION, pk, name, account_id))
            for pk, account_id, name in rows.values_list("pk", "account", "cue__name")
        ]
        rows.update(handled_at=now if handled else None, handled_by=by if handled else None, updated_at=now)
        trail.record(*changes, now=now)
    return len(held)


def mark_one(execution: Execution, *, handled: bool, by: str, now: datetime) -> Execution:
    """The same of one, as it is then; saying it twice changes nothing. Raises NotADeadLetter."""
    if execution.error_class is None:
        raise NotADeadLetter()
    mark([execution.pk], handled=handled, by=by, now=now)
    execution.refresh_from_db(fields=["handled_at", "handled_by"])
    return execution
