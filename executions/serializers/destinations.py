"""The shapes of destinations."""

from typing import Any

from rest_framework import serializers

from cueapi import fields
from cueapi.clock import rfc3339
from executions.states import BreakerState
from executions.steering import RATE_MAX, Sight


class DestinationIn(serializers.Serializer):
    rate_per_minute = fields.Whole(min_value=1, max_value=RATE_MAX, allow_null=True)


class LatencyOut(serializers.Serializer):
    p50 = fields.Whole(allow_null=True)
    p95 = fields.Whole(allow_null=True)


class DestinationOut(serializers.Serializer):
    id = fields.Text()
    destination = fields.Text(help_text="scheme, host and port")
    state = serializers.ChoiceField(BreakerState.values, help_text="of its circuit breaker")
    reason = fields.Text(allow_null=True, help_text="why nothing goes out to it; null when it is closed")
    opened_at = fields.Instant(allow_null=True)
    next_probe_at = fields.Instant(allow_null=True, help_text="null when it is closed, or was opened by hand")
    opened_by_hand = fields.Flag()
    failures_in_a_row = fields.Whole()
    requests_at_a_time = fields.Whole(help_text="that may be in flight now")
    rate_per_minute = fields.Whole(allow_null=True, help_text="attempts that may start; null is no limit")
    waiting = fields.Whole(help_text="executions that wait to go out, retries included")
    in_flight = fields.Whole()
    success_rate = serializers.FloatField(
        allow_null=True, help_text="of the latest attempts, 0 to 1: how many it answered"
    )
    latency_ms = LatencyOut(help_text="of the latest attempts")
    attempts_seen = fields.Whole(help_text="how many attempts the figures are made of, 100 at most")


class DestinationList(serializers.Serializer):
    destinations = DestinationOut(many=True)
    total = fields.Whole()


def render(sight: Sight) -> dict[str, Any]:
    row, breaker = sight.destination, sight.destination.breaker
    return {
        "id": str(row.pk),
        "destination": row.lane,
        "state": breaker.state.value,
        "reason": row.reason or None if breaker.is_holding else None,
        "opened_at": rfc3339(breaker.opened_at),
        "next_probe_at": rfc3339(breaker.probe_at),
        "opened_by_hand": breaker.is_open_by_hand,
        "failures_in_a_row": breaker.failures,
        "requests_at_a_time": sight.room,
        "rate_per_minute": row.rate_per_minute,
        "waiting": sight.waiting,
        "in_flight": sight.in_flight,
        "success_rate": sight.success_rate,
        "latency_ms": {"p50": sight.latency_ms(0.5), "p95": sight.latency_ms(0.95)},
        "attempts_seen": len(row.recent),
    }
