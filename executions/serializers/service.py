"""The shapes of what the service says of itself."""

from rest_framework import serializers

from cueapi import fields


class PollerOut(serializers.Serializer):
    last_run = fields.Instant(allow_null=True)
    seconds_ago = fields.Whole(allow_null=True)
    cues_last_cycle = fields.Whole(allow_null=True)
    cycle_duration_ms = fields.Whole(allow_null=True)


class ServicesOut(serializers.Serializer):
    postgres = fields.Text()
    redis = fields.Text()
    poller = fields.Text()
    worker = fields.Text()


class WorkersOut(serializers.Serializer):
    active_count = fields.Whole()


class QueueOut(serializers.Serializer):
    pending_outbox = fields.Whole()
    stale_executions = fields.Whole()
    pending_retries = fields.Whole()
    pending_worker_claims = fields.Whole()


class HealthOut(serializers.Serializer):
    status = serializers.ChoiceField(["healthy", "degraded"])
    version = fields.Text()
    timestamp = fields.Instant()
    services = ServicesOut()
    poller = PollerOut()
    workers = WorkersOut()
    queue = QueueOut()
