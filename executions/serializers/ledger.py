"""The shapes of the ledger: what became of a cue's windows, and why."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from rest_framework import serializers

from cueapi import fields
from cueapi.clock import rfc3339
from cues.models import LedgerEntry, Verdict
from cues.schedule import Span
from executions.explain import Explanation


class EntryOut(serializers.Serializer):
    window = fields.Instant(help_text="when it was due; of several windows, the first")
    until = fields.Instant(help_text="the last of its windows; of one, the same")
    windows = fields.Whole(help_text="how many consecutive windows this is about")
    verdict = serializers.ChoiceField(Verdict.values)
    execution_id = serializers.UUIDField(
        allow_null=True, help_text="the run; with skipped_overlap, the execution that was in the way"
    )
    execution_status = fields.Text(allow_null=True, help_text="null without an execution, or when it is not stored")


class UnsettledOut(serializers.Serializer):
    window = fields.Instant()
    until = fields.Instant()
    windows = fields.Whole()
    reason = serializers.ChoiceField(["paused", "due"])


class LedgerOut(serializers.Serializer):
    entries = EntryOut(many=True)
    unsettled = UnsettledOut(
        allow_null=True, help_text="windows that passed and have no verdict yet: the cue is paused, or they are due now"
    )
    total = fields.Whole()
    limit = fields.Whole()
    offset = fields.Whole()


class ExplanationOut(serializers.Serializer):
    at = fields.Instant()
    window = fields.Instant(allow_null=True, help_text="the due time that this is about")
    verdict = fields.Text(help_text="one of the ledger's, or due, waiting, not_due, out_of_bounds, not_active, unknown")
    sentence = fields.Text()
    facts = fields.JsonObject()


def render_entry(entry: LedgerEntry, statuses: Mapping[UUID, str]) -> dict[str, Any]:
    return {
        "window": rfc3339(entry.first_at),
        "until": rfc3339(entry.until),
        "windows": entry.windows,
        "verdict": entry.verdict,
        "execution_id": str(entry.execution_id) if entry.execution_id else None,
        "execution_status": statuses.get(entry.execution_id) if entry.execution_id else None,
    }


def render_unsettled(span: Span | None, reason: str) -> dict[str, Any] | None:
    if span is None:
        return None
    return {"window": rfc3339(span.first), "until": rfc3339(span.last), "windows": span.count, "reason": reason}


def render_explanation(explanation: Explanation) -> dict[str, Any]:
    return {
        "at": rfc3339(explanation.at),
        "window": rfc3339(explanation.window),
        "verdict": explanation.verdict,
        "sentence": explanation.sentence,
        "facts": explanation.facts,
    }
