"""Executions that ended badly before get their class too: worked out as on its day of release, from what is stored.

Each batch is a transaction of its own, and one that is done is not looked at again: stop it and start it as you like.
"""

from collections import defaultdict
from typing import Any

from django.db import migrations, transaction
from django.db.models import OuterRef, Q, Subquery

BATCH = 1000
REFUSAL = "Monthly execution limit reached. Ask the operator for a larger plan, or wait for the next month (UTC)."
BY_STAGE = {
    "resolve": "dns",
    "connect": "connect",
    "tls": "tls",
    "timeout": "timeout",
    "refused": "refused",
    "reply": "protocol",
    "interrupted": "interrupted",
}
COLUMNS = (
    "pk", "status", "transport", "http_status", "error_message", "outcome_success", "outcome_recorded_at", "closed_at"
)


def fill(apps: Any, schema_editor: Any) -> None:
    Execution, Attempt = apps.get_model("executions", "Execution"), apps.get_model("executions", "Attempt")
    last = Attempt.objects.filter(execution=OuterRef("pk"), number=OuterRef("attempts"))
    ended = Execution.objects.filter(status__in=["failed", "missed", "outcome_timeout"], error_class=None)
    rows = ended.annotate(stage=Subquery(last.values("error_stage")[:1])).order_by("pk").values(*COLUMNS, "stage")
    after = Q()
    while batch := list(rows.filter(after)[:BATCH]):
        by_class: dict[str, list[Any]] = defaultdict(list)
        for row in batch:
            by_class[class_of(row)].append(row["pk"])
        with transaction.atomic():
            for error_class, ids in by_class.items():
                Execution.objects.filter(pk__in=ids).update(error_class=error_class)
        after = Q(pk__gt=batch[-1]["pk"])


def class_of(row: dict[str, Any]) -> str:
    if row["status"] != "failed":
        return str(row["status"])
    if row["error_message"] == REFUSAL:
        return "quota"
    if row["outcome_success"] is False and row["outcome_recorded_at"] <= row["closed_at"]:
        return "outcome_failed"
    if row["transport"] == "worker":
        return "interrupted"  # its worker fell silent: the only other end of its kind
    if row["stage"] == "status":
        hundreds = (row["http_status"] or 0) // 100
        return f"http_{hundreds}xx" if hundreds in (3, 4, 5) else "protocol"
    return BY_STAGE.get(row["stage"], "internal")


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("executions", "0008_error_class")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop, elidable=True)]
