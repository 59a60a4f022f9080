from typing import Any

from django.db import migrations
from django.db.models import OuterRef, Subquery


def copy_from_cues(apps: Any, schema_editor: Any) -> None:
    """Executions that have not ended are found by their lane from now on."""
    Cue, Execution = apps.get_model("cues", "Cue"), apps.get_model("executions", "Execution")
    lane = Cue.objects.filter(pk=OuterRef("cue_id")).values("lane")[:1]
    Execution.objects.filter(closed_at=None, transport="webhook").update(lane=Subquery(lane))


class Migration(migrations.Migration):
    dependencies = [("executions", "0004_lanes")]

    operations = [migrations.RunPython(copy_from_cues, migrations.RunPython.noop)]
