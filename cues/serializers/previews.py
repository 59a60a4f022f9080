"""The shapes of previews: what a schedule will do, and what a resume would."""

from typing import Any

from rest_framework import serializers

from cueapi import fields
from cueapi.clock import rfc3339
from cues.foresight import Foresight, Resumption
from cues.preview import Due


class DueOut(serializers.Serializer):
    due_at = fields.Instant(help_text="in UTC")
    local = fields.Text(help_text="in the schedule's zone, with its offset")
    note = fields.Text(allow_null=True, help_text="what a clock change of that day does")
    jitter_seconds = fields.Whole(help_text="how much later than its slot it is, by the cue's own jitter")


class ClockChangeOut(serializers.Serializer):
    at = fields.Instant()
    sentence = fields.Text()


class PreviewOut(serializers.Serializer):
    description = fields.Text(help_text="the schedule in words")
    timezone = fields.Text()
    status = serializers.ChoiceField(["active", "paused", "completed", "failed"], required=False)
    next = DueOut(many=True)
    previous = DueOut(many=True, help_text="the latest first")
    clock_changes = ClockChangeOut(many=True)
    message = fields.Text(allow_null=True, help_text="why the list is short, or what is not in it")


class ResumptionOut(serializers.Serializer):
    dry_run = fields.Flag()
    status = fields.Text()
    next_run = fields.Instant(allow_null=True)
    windows_passed = fields.Whole()
    windows_caught_up = fields.Whole()
    message = fields.Text()


def render(foresight: Foresight, status: str | None = None) -> dict[str, Any]:
    return {
        "description": foresight.description,
        "timezone": foresight.timezone,
        **({"status": status} if status else {}),
        "next": [_due(due) for due in foresight.preview.next],
        "previous": [_due(due) for due in foresight.preview.previous],
        "clock_changes": [
            {"at": rfc3339(change.at), "sentence": change.sentence} for change in foresight.preview.changes
        ],
        "message": foresight.message,
    }


def render_resumption(resumption: Resumption) -> dict[str, Any]:
    return {
        "dry_run": True,
        "status": resumption.status,
        "next_run": rfc3339(resumption.next_run),
        "windows_passed": resumption.windows_passed,
        "windows_caught_up": resumption.windows_caught_up,
        "message": resumption.message,
    }


def _due(due: Due) -> dict[str, Any]:
    return {
        "due_at": rfc3339(due.at),
        "local": due.local.isoformat(),
        "note": due.note,
        "jitter_seconds": int(due.jitter.total_seconds()),
    }
