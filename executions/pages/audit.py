"""Door: who changed what in an account, as a page."""

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse

from cueapi.models import ActorKind, AuditAction, AuditEvent
from cueapi.pages import account_of, answers, page, signed_in
from executions.pages.reading import Query


@dataclass(frozen=True)
class Difference:
    """One field of an entry; None is that it was not there."""

    name: str
    before: Any
    after: Any


@answers("GET")
@signed_in
def audit_page(request: HttpRequest) -> HttpResponse:
    query = Query(request)
    columns = {
        "action": query.choice("action", AuditAction.values),
        "actor_kind": query.choice("actor", ActorKind.values),
        "subject_id": query.text("subject") or None,
        "at__gte": query.instant("since"),
        "at__lt": query.instant("until"),
    }
    wanted = {column: value for column, value in columns.items() if value is not None}
    sheet = query.sheet(AuditEvent.objects.of(account_of(request)).filter(**wanted), by="at")
    facts: dict[str, Any] = {
        "rows": [{"event": event, "differences": differences_of(event)} for event in sheet.rows],
        "newer": query.at(sheet.newer),
        "older": query.at(sheet.older),
        "chosen": query.kept,
        "choices": {"action": [(one, one) for one in AuditAction.values], "actor": ActorKind.choices},
    }
    return page(request, "executions/pages/audit.html", **facts)


def differences_of(event: AuditEvent) -> list[Difference]:
    names = dict.fromkeys([*event.before, *event.after])
    return [Difference(name, event.before.get(name), event.after.get(name)) for name in names]
