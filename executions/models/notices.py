"""What people are told: alerts, and the mails and calls about them."""

import uuid

from django.db import models
from django.db.models import Q

from cueapi.models import Account
from cues.models import Cue
from executions.models.receivers import Worker
from executions.models.runs import Execution


class AlertType(models.TextChoices):
    CONSECUTIVE_FAILURES = "consecutive_failures"
    VERIFICATION_FAILED = "verification_failed"
    OUTCOME_TIMEOUT = "outcome_timeout"
    MISSED_WINDOW = "missed_window"
    SLOT_AUDIT = "slot_audit"
    DESTINATION_DOWN = "destination_down"


class Severity(models.TextChoices):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Alert(models.Model):
    """Something a person should know of a cue or an execution."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="alerts")
    cue = models.ForeignKey(Cue, null=True, blank=True, on_delete=models.CASCADE, related_name="alert_log")
    execution = models.ForeignKey(Execution, null=True, blank=True, on_delete=models.SET_NULL, related_name="alerts")
    alert_type = models.CharField(max_length=24, choices=AlertType)
    severity = models.CharField(max_length=10, choices=Severity, default=Severity.WARNING)
    message = models.CharField(max_length=500)
    metadata = models.JSONField(default=dict)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(fields=["account", "-created_at", "-id"], name="alert_newest_first"),
            models.Index(fields=["cue", "alert_type", "-created_at"], name="alert_of_cue"),
            models.Index(
                fields=["account", "-created_at", "-id"], condition=Q(acknowledged_at=None), name="alert_to_see"
            ),
            models.Index(fields=["created_at"], name="alert_age"),
        ]

    def __str__(self) -> str:
        return self.message


class NotificationKind(models.TextChoices):
    EMAIL = "email"
    WEBHOOK = "webhook"


class NotificationState(models.TextChoices):
    WAITING = "waiting"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    SUPPRESSED = "suppressed"  # over the hourly limit of mails


class Notification(models.Model):
    """A mail or a call about a failed execution, an alert or a silent worker: at most one of each kind for each."""

    execution = models.ForeignKey(
        Execution, null=True, blank=True, on_delete=models.CASCADE, related_name="notifications"
    )
    alert = models.ForeignKey(Alert, null=True, blank=True, on_delete=models.CASCADE, related_name="notifications")
    worker = models.ForeignKey(Worker, null=True, blank=True, on_delete=models.CASCADE, related_name="notifications")
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(max_length=10, choices=NotificationKind)
    state = models.CharField(max_length=10, choices=NotificationState, default=NotificationState.WAITING)
    tries = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["execution", "kind"], name="notification_once"),
            models.UniqueConstraint(fields=["alert", "kind"], name="notification_once_for_alert"),
            models.CheckConstraint(
                condition=Q(execution__isnull=False, alert=None, worker=None)
                | Q(execution=None, alert__isnull=False, worker=None)
                | Q(execution=None, alert=None, worker__isnull=False),
                name="notification_has_one_subject",
            ),
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="notification_due"),
            models.Index(fields=["account", "kind", "sent_at"], name="notification_hourly"),
            models.Index(fields=["sent_at"], condition=Q(worker__isnull=False), name="notification_of_worker_age"),
        ]

    def __str__(self) -> str:
        return f"{self.kind}: {self.state}"
