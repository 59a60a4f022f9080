"""The shapes of outcomes: reports, evidence, verification."""

import json
from typing import Any

from rest_framework import serializers

from cueapi import fields
from cueapi.clock import rfc3339
from cueapi.errors import BadRequest
from cueapi.fields import Optional
from executions.models import Execution

METADATA_MAX_BYTES = 10_240


# --- What comes in ----------------------------------------------------------------------------------------------


class EvidenceIn(Optional):
    external_id = fields.Text(allow_null=True, allow_blank=True, max_length=500)
    result_url = fields.Text(allow_null=True, allow_blank=True, max_length=2000, style={"format": "uri"})
    result_ref = fields.Text(allow_null=True, allow_blank=True, max_length=500)
    result_type = fields.Text(allow_null=True, allow_blank=True, max_length=100)
    summary = fields.Text(allow_null=True, allow_blank=True, help_text="cut to 500 characters")
    artifacts = fields.JsonList(allow_null=True)
    assertions = fields.JsonObject(allow_null=True)
    metadata = fields.JsonObject(allow_null=True, help_text="at most 10 240 bytes of JSON")

    def validate_result_url(self, url: str | None) -> str | None:
        if url and not url.lower().startswith(("http://", "https://")):
            raise serializers.ValidationError("must be an http or https URL")
        return url

    def validate_metadata(self, metadata: dict[str, Any] | None) -> dict[str, Any] | None:
        size = len(json.dumps(metadata, ensure_ascii=False, separators=(",", ":")).encode())
        if size > METADATA_MAX_BYTES:
            raise BadRequest(
                f"metadata is {size} bytes of JSON; {METADATA_MAX_BYTES} are the most.",
                code="metadata_too_large",
            )
        return metadata


class OutcomeIn(EvidenceIn):
    success = fields.Flag()
    result = fields.Text(allow_null=True, allow_blank=True, trim_whitespace=False)
    error = fields.Text(allow_null=True, allow_blank=True, trim_whitespace=False)

    def get_fields(self) -> dict[str, Any]:
        fields_ = super().get_fields()
        fields_["success"].required = True
        return fields_


class VerifyIn(Optional):
    valid = fields.Flag(default=True)
    reason = fields.Text(allow_null=True, allow_blank=True, max_length=500)


# --- What goes out ----------------------------------------------------------------------------------------------


class OutcomeOut(serializers.Serializer):
    success = fields.Flag()
    result = fields.Text(allow_null=True)
    error = fields.Text(allow_null=True)
    metadata = fields.JsonObject(allow_null=True)
    recorded_at = fields.Instant()
    external_id = fields.Text(allow_null=True)
    result_url = fields.Text(allow_null=True)
    result_ref = fields.Text(allow_null=True)
    result_type = fields.Text(allow_null=True)
    summary = fields.Text(allow_null=True)
    artifacts = fields.JsonList(allow_null=True)
    validation_state = fields.Text(allow_null=True)
    assertions = fields.JsonObject(allow_null=True)


class OutcomeRecorded(serializers.Serializer):
    execution_id = serializers.UUIDField()
    outcome_recorded = fields.Flag()
    outcome_state = fields.Text()
    reason = fields.Text(allow_null=True)


class EvidenceUpdated(serializers.Serializer):
    execution_id = serializers.UUIDField()
    outcome_state = fields.Text()
    evidence_updated = fields.Flag()


class Verified(serializers.Serializer):
    execution_id = serializers.UUIDField()
    outcome_state = fields.Text()
    valid = fields.Flag()
    reason = fields.Text(allow_null=True)


class VerificationAwaited(serializers.Serializer):
    execution_id = serializers.UUIDField()
    outcome_state = fields.Text()


def render_outcome(execution: Execution) -> dict[str, Any] | None:
    if execution.outcome_recorded_at is None:
        return None
    return {
        "success": execution.outcome_success,
        "result": execution.outcome_result,
        "error": execution.outcome_error,
        "metadata": execution.outcome_metadata,
        "recorded_at": rfc3339(execution.outcome_recorded_at),
        "external_id": execution.external_id,
        "result_url": execution.result_url,
        "result_ref": execution.result_ref,
        "result_type": execution.result_type,
        "summary": execution.summary,
        "artifacts": execution.artifacts,
        "validation_state": execution.validation_state,
        "assertions": execution.assertions,
    }
