"""The shapes of what the service says of itself."""

from typing import Any

from rest_framework import serializers

from cueapi import fields
from cueapi.liveness import Beat


class PollerOut(serializers.Serializer):
    last_run = fields.Instant(allow_null=True)
    seconds_ago = fields.Whole(allow_null=True)
    cues_last_cycle = fields.Whole(allow_null=True)
    cycle_duration_ms = fields.Whole(allow_null=True)


class BeatOut(serializers.Serializer):
    name = fields.Text(help_text="host and process id")
    state = serializers.ChoiceField(["ok", "silent"], help_text="silent: it hangs, or it was killed")
    seconds_ago = fields.Whole(help_text="since its last cycle")
    cycle_duration_ms = fields.Whole()


class ServicesOut(serializers.Serializer):
    postgres = fields.Text()
    redis = fields.Text(help_text="the volatile store: Redis or Valkey")
    broker = fields.Text(help_text="Redis, Valkey or RabbitMQ")
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
    beats = BeatOut(many=True)
    workers = WorkersOut()
    queue = QueueOut()


def render_beat(beat: Beat) -> dict[str, Any]:
    return {
        "name": beat.name,
        "state": beat.state,
        "seconds_ago": max(0, round(beat.silent_s)),
        "cycle_duration_ms": beat.cycle.duration_ms,
    }
