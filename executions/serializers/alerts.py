"""The shapes of alerts (contract 8.1)."""

from typing import Any

from rest_framework import serializers

from cueapi import fields
from cueapi.clock import rfc3339
from executions.models import Alert, AlertType, Severity


class AlertOut(serializers.Serializer):
    id = serializers.UUIDField()
    cue_id = fields.Text(allow_null=True)
    execution_id = serializers.UUIDField(allow_null=True, help_text="null when the alert is about the cue as such")
    alert_type = serializers.ChoiceField(AlertType.values)
    severity = serializers.ChoiceField(Severity.values)
    message = fields.Text()
    metadata = fields.JsonObject()
    acknowledged = fields.Flag()
    acknowledged_at = fields.Instant(allow_null=True)
    created_at = fields.Instant()


class AlertList(serializers.Serializer):
    alerts = AlertOut(many=True)
    total = fields.Whole()
    limit = fields.Whole()
    offset = fields.Whole()


def render(alert: Alert) -> dict[str, Any]:
    return {
        "id": str(alert.pk),
        "cue_id": alert.cue_id,
        "execution_id": str(alert.execution_id) if alert.execution_id else None,
        "alert_type": alert.alert_type,
        "severity": alert.severity,
        "message": alert.message,
        "metadata": alert.metadata,
        "acknowledged": alert.acknowledged_at is not None,
        "acknowledged_at": rfc3339(alert.acknowledged_at),
        "created_at": rfc3339(alert.created_at),
    }
