"""Every cue gets its first definition: its history starts with the release that keeps one."""

from datetime import timedelta
from typing import Any

from django.db import migrations
from django.utils import timezone

COLUMNS = (
    "status",
    "schedule_type",
    "cron",
    "every_s",
    "anchor",
    "at",
    "timezone",
    "dst",
    "starts_at",
    "ends_at",
    "max_runs",
    "jitter_s",
    "overlap",
    "catch_up",
)
BATCH = 2000


def begin(apps: Any, schema_editor: Any) -> None:
    Cue, Definition = apps.get_model("cues", "Cue"), apps.get_model("cues", "Definition")
    now = timezone.now()
    without = Cue.objects.filter(definitions=None).iterator(chunk_size=BATCH)
    batch: list[Any] = []
    for cue in without:
        # What is due already belongs to this definition too.
        since = min(now, cue.next_run - timedelta(microseconds=1)) if cue.next_run else now
        batch.append(Definition(cue=cue, since=since, **{name: getattr(cue, name) for name in COLUMNS}))
        if len(batch) == BATCH:
            Definition.objects.bulk_create(batch)
            batch = []
    Definition.objects.bulk_create(batch)


class Migration(migrations.Migration):
    dependencies = [("cues", "0004_definitions_and_ledger")]

    operations = [migrations.RunPython(begin, migrations.RunPython.noop, elidable=True)]
