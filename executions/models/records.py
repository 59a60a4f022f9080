"""What is kept for how long, and the figures of what ended, hour by hour."""

import uuid

from django.db import models
from django.db.models import Q

from cueapi.models import Account


class Kept(models.TextChoices):
    """What is kept for so many days only."""

    BODIES = "bodies"  # what receivers answered
    EXECUTIONS = "executions"
    LEDGER = "ledger"
    ALERTS = "alerts"
    TRAIL = "trail"  # the audit trail


class Horizon(models.Model):
    """How far back one kind of rows reaches: what is older than `at` was removed, or may be gone at any moment."""

    kind = models.CharField(primary_key=True, max_length=10, choices=Kept)
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.kind} from {self.at}"


class HourFigures(models.Model):
    """What ended within one hour, of one account or of all. `executions.rollup` adds to it, each end once."""

    account = models.ForeignKey(Account, null=True, on_delete=models.CASCADE, related_name="hours")  # null: of all
    hour = models.DateTimeField()  # its first instant
    success = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    missed = models.PositiveIntegerField(default=0)
    outcome_timeout = models.PositiveIntegerField(default=0)
    lateness = models.JSONField(default=list)  # counts by the bounds of `executions.figures`, the last beyond them
    latency = models.JSONField(default=list)

    account_id: uuid.UUID | None

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "hour"], name="hour_of_account_once"),
            models.UniqueConstraint(fields=["hour"], condition=Q(account=None), name="hour_of_all_once"),
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}h of {self.account_id or 'all'}"


class CountedUntil(models.Model):
    """One row: every end before `at` is in the figures. Whoever counts on holds it."""

    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"counted until {self.at}"
