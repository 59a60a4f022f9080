"""The shapes of previews, of a schedule and of a resume: what comes in and what goes out."""

from difflib import get_close_matches
from typing import Any

from rest_framework import serializers

from cueapi import fields
from cueapi.clock import rfc3339
from cues.foresight import Foresight, Resumption
from cues.preview import Due
from cues.serializers import requests


class PreviewIn(fields.Part):
    """The body of `POST /v1/schedules/preview`: a schedule as on create, nested or flat."""

    schedule = requests.ScheduleIn(allow_null=True)
    count = fields.Whole(
        min_value=1, max_value=100, required=False, allow_null=True, help_text="due times, 10 if absent"
    )

    def get_fields(self) -> dict[str, Any]:
        start = fields.Text(
            required=False,
            allow_null=True,
            help_text="RFC 3339: look from then on, not from now",
            style=requests.INSTANT,
        )
        return super().get_fields() | {"from": start}

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        values: dict[str, Any] = super().to_internal_value(
            requests.fold_flat_form(data) if isinstance(data, dict) else data
        )
        return values

    def unknown_fields(self) -> str | None:
        """A sentence that names what was ignored. The other fields of a create call may be there and mean nothing."""
        known = (*requests.FLAT, *requests.CueCreate().fields)
        return requests.unknown_fields(dict(self.initial_data), self, known=known)


class ResumeIn(fields.Optional):
    """The body of `POST /v1/cues/{id}/resume`, which may be empty."""

    dry_run = fields.Flag(help_text="true: only say what it would do")

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """A misspelt dry_run must not resume the cue."""
        unknown = sorted(set(data) - {"dry_run"}) if isinstance(data, dict) else []
        near = get_close_matches("dry_run", [name[:60].lower() for name in unknown], n=1)
        if near:
            raise serializers.ValidationError({near[0]: "is not known; did you mean dry_run?"})
        values: dict[str, Any] = super().to_internal_value(data)
        return values


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
