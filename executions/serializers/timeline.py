"""The shape of an execution's timeline."""

from collections.abc import Iterable
from typing import Any

from rest_framework import serializers

from cueapi import fields
from cueapi.clock import rfc3339
from executions.models import Execution
from executions.states import Status
from executions.timeline import Entry, Kind


class TimelineEntry(serializers.Serializer):
    at = fields.Instant()
    kind = serializers.ChoiceField([kind.value for kind in Kind])
    summary = fields.Text(help_text="a sentence")
    duration_ms = fields.Whole(allow_null=True)
    is_future = fields.Flag(help_text="it is expected then, and has not happened")
    details = fields.JsonObject()


class TimelineOut(serializers.Serializer):
    execution_id = serializers.UUIDField()
    cue_id = fields.Text()
    status = serializers.ChoiceField(Status.values)
    entries = TimelineEntry(many=True)


def render_timeline(execution: Execution, entries: Iterable[Entry]) -> dict[str, Any]:
    return {
        "execution_id": str(execution.pk),
        "cue_id": execution.cue_id,
        "status": execution.status,
        "entries": [render_entry(entry) for entry in entries],
    }


def render_entry(entry: Entry) -> dict[str, Any]:
    return {
        "at": rfc3339(entry.at),
        "kind": entry.kind.value,
        "summary": entry.summary,
        "duration_ms": entry.duration_ms,
        "is_future": entry.is_future,
        "details": entry.details,
    }
