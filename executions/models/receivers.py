"""Where work goes: destinations of webhooks, the pace of cues that have one, and workers that pull."""

import uuid

from django.db import models
from django.db.models import Q

from cueapi.models import Account
from cues.models import Cue
from executions.breaker import Breaker
from executions.states import BreakerState


class Destination(models.Model):
    """Where webhooks of an account go, a scheme, host and port, with its circuit breaker and its latest attempts.

    Whoever claims or records attempts to it holds the row, so what it says of itself is never a race.
    """

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="destinations")
    lane = models.CharField(max_length=300, editable=False)
    state = models.CharField(max_length=10, choices=BreakerState, default=BreakerState.CLOSED)
    failures = models.PositiveIntegerField(default=0)
    allowed = models.PositiveSmallIntegerField(null=True, blank=True)
    opened_at = models.DateTimeField(null=True, blank=True)
    probe_at = models.DateTimeField(null=True, blank=True)
    probes = models.PositiveIntegerField(default=0)
    reason = models.CharField(max_length=300, blank=True)  # why it opened
    senders = models.PositiveSmallIntegerField(default=0)  # requests at a time that the latest claim allowed
    recent = models.JSONField(default=list)  # [milliseconds, 1 if answered] of the latest attempts, newest last
    rate_per_minute = models.PositiveIntegerField(null=True, blank=True)  # null: no limit
    next_at = models.DateTimeField(null=True, blank=True)  # when the rate lets the next attempt start
    looked_at = models.DateTimeField(null=True, blank=True)  # when somebody last looked for work for it
    nudged_at = models.DateTimeField(null=True, blank=True)  # when a sweep last sent a message for it

    account_id: uuid.UUID

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "lane"], name="destination_once"),
            models.CheckConstraint(condition=Q(state__in=BreakerState.values), name="destination_state_known"),
        ]

    def __str__(self) -> str:
        return self.lane

    @property
    def breaker(self) -> Breaker:
        return Breaker(
            BreakerState(self.state), self.failures, self.allowed, self.opened_at, self.probe_at, self.probes
        )

    @breaker.setter
    def breaker(self, breaker: Breaker) -> None:
        for name, value in vars(breaker).items():
            setattr(self, name, value)


class CuePace(models.Model):
    """How far a cue has used up its own rate. Whoever starts attempts of the cue holds the row, as the last one."""

    cue = models.OneToOneField(Cue, primary_key=True, on_delete=models.CASCADE, related_name="pace")
    rate_per_minute = models.PositiveIntegerField()  # by which those that wait for it were put off
    next_at = models.DateTimeField(null=True, blank=True)  # when it lets the next attempt start
    last_at = models.DateTimeField(null=True, blank=True)  # when the last of those that were put off is to start

    cue_id: str

    def __str__(self) -> str:
        return f"{self.cue_id}: {self.rate_per_minute} a minute"


class Worker(models.Model):
    """A process of the account's that pulls work. Its first heartbeat registers it."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="workers")
    worker_id = models.CharField(max_length=255)  # the caller's own name for it
    handlers = models.JSONField(null=True, blank=True)  # the tasks it says it can do
    last_heartbeat_at = models.DateTimeField()
    registered_at = models.DateTimeField()
    offline_mailed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "worker_id"], name="worker_id_unique")]
        indexes = [models.Index(fields=["last_heartbeat_at"], name="worker_heartbeat")]

    def __str__(self) -> str:
        return self.worker_id
