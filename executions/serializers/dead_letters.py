"""The shapes of dead letters, and of the call that replays them."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from rest_framework import serializers

from cueapi import fields
from cueapi.clock import rfc3339
from executions.dead_letters import LIMIT_MAX, Report
from executions.failures import ErrorClass
from executions.models import Execution
from executions.serializers import executions as shapes

INSTANT: dict[str, Any] = {"allow_null": True, "style": {"format": "date-time"}}


class DeadLetterReplayIn(fields.Optional, fields.Strict):
    """Which dead letters to replay, and how; a misspelt filter would replay too many."""

    cue_id = fields.Text(allow_null=True, max_length=64)
    error_class = fields.Choice(ErrorClass.values, allow_null=True)
    since = fields.Text(help_text="RFC 3339: ended then or later", **INSTANT)
    until = fields.Text(help_text="RFC 3339: ended before that", **INSTANT)
    execution_ids = fields.Items(
        child=fields.Text(max_length=100), max_length=LIMIT_MAX, allow_null=True, help_text="only these"
    )
    include_replayed = fields.Flag(allow_null=True, help_text="true: also those that have a replay")
    include_handled = fields.Flag(allow_null=True, help_text="true: also those that are marked as handled")
    definition = shapes.definition_field()
    limit = fields.Whole(min_value=1, max_value=LIMIT_MAX, allow_null=True, help_text="the oldest so many; 100")
    dry_run = fields.Flag(allow_null=True, help_text="true: only say what matches")


# --- What goes out ----------------------------------------------------------------------------------------------


class DeadLetterOut(shapes.ExecutionOut):
    """An execution that ended badly."""

    error_class = serializers.ChoiceField(ErrorClass.values)
    closed_at = fields.Instant()
    handled_at = shapes.handled_at_field()
    handled_by = shapes.handled_by_field()
    replays = shapes.replays_field()


class DeadLetterList(serializers.Serializer):
    dead_letters = DeadLetterOut(many=True)
    total = fields.Whole()
    limit = fields.Whole()
    offset = fields.Whole()
    has_more = fields.Flag()


class Handled(serializers.Serializer):
    execution_id = serializers.UUIDField()
    handled_at = shapes.handled_at_field()
    handled_by = shapes.handled_by_field()


class DeadLettersReplayed(serializers.Serializer):
    matched = fields.Whole(help_text="dead letters that the filters let through, in all")
    replayed = fields.Whole()
    skipped = fields.Whole()
    skipped_because = serializers.DictField(child=fields.Whole(), help_text="how many for which reason")
    execution_ids = serializers.ListField(child=serializers.UUIDField(), help_text="the new executions")
    has_more = fields.Flag(help_text="more than `limit` matched")


# --- Rendering --------------------------------------------------------------------------------------------------


def render(execution: Execution, replays: Sequence[UUID]) -> dict[str, Any]:
    return {**shapes.render(execution), **shapes.render_end(execution, replays)}


def render_handled(execution: Execution) -> dict[str, Any]:
    return {
        "execution_id": str(execution.pk),
        "handled_at": rfc3339(execution.handled_at),
        "handled_by": execution.handled_by,
    }


def render_report(report: Report) -> dict[str, Any]:
    because = {reason: count for reason, count in sorted(report.skipped.items()) if count}
    return {
        "matched": report.matched,
        "replayed": len(report.made),
        "skipped": sum(because.values()),
        "skipped_because": because,
        "execution_ids": [str(pk) for pk in report.made],
        "has_more": report.has_more,
    }
