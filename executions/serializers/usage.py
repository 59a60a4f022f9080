"""The shape of an account's use of its plan (contract 8.2)."""

from rest_framework import serializers

from cueapi import fields


class PeriodOut(serializers.Serializer):
    start = serializers.DateField()
    end = serializers.DateField()


class BillingPeriodOut(PeriodOut):
    days_remaining = fields.Whole()


class CuesUsedOut(serializers.Serializer):
    used = fields.Whole(help_text="active and paused")
    active = fields.Whole()
    limit = fields.Whole()
    remaining = fields.Whole()
    percent_used = fields.Whole()


class ExecutionsUsedOut(serializers.Serializer):
    used = fields.Whole(help_text="webhook attempts and worker claims of the month")
    limit = fields.Whole()
    remaining = fields.Whole()
    percent_used = fields.Whole()
    percentage = serializers.FloatField()
    projected_month_end = fields.Whole()
    will_exceed_limit = fields.Flag()


class OutcomesOut(serializers.Serializer):
    reported = fields.Whole()
    succeeded = fields.Whole()
    failed = fields.Whole()


class RateLimitOut(serializers.Serializer):
    requests_per_minute = fields.Whole()
    limit = fields.Whole()
    current_usage = fields.Whole()


class UsageOut(serializers.Serializer):
    plan = fields.Text()
    billing_period = BillingPeriodOut()
    period = PeriodOut()
    cues = CuesUsedOut()
    executions = ExecutionsUsedOut()
    outcomes = OutcomesOut()
    rate_limit = RateLimitOut()
    upgrade_url = fields.Text(allow_null=True)
