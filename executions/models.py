"""What happened: executions, their attempts, each step they took, and the mails and calls a failure causes."""

import uuid
from datetime import datetime
from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

from cueapi.models import Account
from cues.models import Cue, Transport
from executions.breaker import Breaker
from executions.failures import ErrorClass
from executions.states import FINAL, WAITING, BreakerState, OutcomeState, Status, Trigger

_FINAL = sorted(FINAL)  # in one order, so that migrations do not change with the hash seed
_WAITING = sorted(WAITING)
_DEAD = Q(error_class__isnull=False)  # SQLite cannot tell that statuses given as parameters are these


class ExecutionQuerySet(models.QuerySet["Execution"]):
    def of(self, account: Account) -> "ExecutionQuerySet":
        """The only way a request reaches an execution: its own account's."""
        return self.filter(account=account)

    def newest_first(self) -> "ExecutionQuerySet":
        return self.order_by("-created_at", "-id")

    def dead(self) -> "ExecutionQuerySet":
        """The dead letters: those that ended badly."""
        return self.filter(error_class__isnull=False)

    def due(self, *statuses: Status, now: datetime) -> "ExecutionQuerySet":
        """Those in these states that need attention by now, the longest waiting first."""
        return self.filter(status__in=statuses, due_at__lte=now).order_by("due_at")


class Execution(models.Model):
    """One run of a cue. `due_at` is when it next needs somebody, in whatever state it is; null when held or final."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="executions")
    cue = models.ForeignKey(Cue, on_delete=models.CASCADE, related_name="executions")
    transport = models.CharField(max_length=10, choices=Transport)
    lane = models.CharField(max_length=300, blank=True, editable=False)  # its cue's, kept the same while it is open
    triggered_by = models.CharField(max_length=12, choices=Trigger)
    scheduled_for = models.DateTimeField()
    payload = models.JSONField(default=dict)  # the effective one, fixed at birth
    exit_criteria = models.JSONField(null=True, blank=True)

    status = models.CharField(max_length=16, choices=Status, default=Status.PENDING)
    due_at = models.DateTimeField(null=True, blank=True)
    paced_at = models.DateTimeField(null=True, blank=True)  # the due_at that its cue's rate gave it, while it has that
    is_held = models.BooleanField(default=False)  # pending, and waits for the executions of its cue before it
    attempts = models.PositiveSmallIntegerField(default=0)
    started_at = models.DateTimeField(null=True, blank=True)
    last_attempt_at = models.DateTimeField(null=True, blank=True)
    delivered_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    http_status = models.PositiveSmallIntegerField(null=True, blank=True)
    response_body = models.TextField(null=True, blank=True)
    bodies_removed_at = models.DateTimeField(null=True, blank=True)  # of its attempts too: their time was over
    error_message = models.TextField(null=True, blank=True)
    error_class = models.CharField(max_length=16, choices=ErrorClass, null=True, blank=True)  # null: not ended badly
    handled_at = models.DateTimeField(null=True, blank=True)  # somebody dealt with its bad end, without a replay
    handled_by = models.CharField(max_length=254, null=True, blank=True)  # who said so

    claimed_by_worker = models.CharField(max_length=255, null=True, blank=True)
    claimed_at = models.DateTimeField(null=True, blank=True)
    last_heartbeat_at = models.DateTimeField(null=True, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)

    outcome_state = models.CharField(max_length=20, choices=OutcomeState, null=True, blank=True)
    outcome_success = models.BooleanField(null=True, blank=True)
    outcome_deadline_at = models.DateTimeField(null=True, blank=True)
    outcome_recorded_at = models.DateTimeField(null=True, blank=True)
    outcome_is_provisional = models.BooleanField(default=False)  # taken from a reply; a report replaces it
    outcome_result = models.TextField(null=True, blank=True)
    outcome_error = models.TextField(null=True, blank=True)
    outcome_metadata = models.JSONField(null=True, blank=True)
    external_id = models.CharField(max_length=500, null=True, blank=True)
    result_url = models.CharField(max_length=2000, null=True, blank=True)
    result_ref = models.CharField(max_length=500, null=True, blank=True)
    result_type = models.CharField(max_length=100, null=True, blank=True)
    summary = models.CharField(max_length=500, null=True, blank=True)
    artifacts = models.JSONField(null=True, blank=True)
    assertions = models.JSONField(null=True, blank=True)
    validation_state = models.CharField(max_length=10, null=True, blank=True)

    replayed_from = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="replays")
    chain_parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="chained")
    chain_depth = models.PositiveSmallIntegerField(default=0)
    traceparent = models.CharField(max_length=55, null=True, blank=True, editable=False)  # the caller's; null: its own
    idempotency_key = models.CharField(max_length=256, null=True, blank=True)
    idempotency_hash = models.CharField(max_length=64, null=True, blank=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    account_id: uuid.UUID
    cue_id: str
    objects: ClassVar[Any] = ExecutionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["cue", "scheduled_for"],
                condition=Q(triggered_by=Trigger.SCHEDULED),
                name="execution_once_per_slot",
            ),
            models.UniqueConstraint(
                fields=["chain_parent"], condition=Q(triggered_by=Trigger.CHAIN), name="execution_chained_once"
            ),
            models.CheckConstraint(condition=Q(status__in=Status.values), name="execution_status_known"),
            models.CheckConstraint(
                condition=Q(status__in=_FINAL, due_at=None, closed_at__isnull=False)
                | (~Q(status__in=_FINAL) & Q(closed_at=None) & (Q(due_at__isnull=False) | Q(is_held=True))),
                name="execution_open_has_due_at_or_is_held",
            ),
            models.CheckConstraint(
                condition=Q(is_held=False) | Q(status=Status.PENDING, due_at=None), name="execution_held_is_pending"
            ),
        ]
        indexes = [
            models.Index(fields=["status", "due_at"], condition=Q(due_at__isnull=False), name="execution_due"),
            models.Index(fields=["account", "-created_at", "-id"], name="execution_newest_first"),
            models.Index(fields=["cue", "-created_at", "-id"], name="execution_of_cue"),
            models.Index(fields=["account", "updated_at", "id"], name="execution_changed"),
            models.Index(
                fields=["account", "lane"],
                condition=Q(status=Status.DELIVERING, transport=Transport.WEBHOOK),
                name="execution_in_flight",
            ),
            models.Index(
                fields=["account", "lane", "status", "due_at"],
                condition=Q(status__in=_WAITING, transport=Transport.WEBHOOK, due_at__isnull=False),
                name="execution_of_lane",
            ),
            models.Index(fields=["cue", "scheduled_for"], condition=Q(is_held=True), name="execution_held"),
            models.Index(fields=["cue"], condition=Q(closed_at=None), name="execution_open"),
            models.Index(
                fields=["account", "scheduled_for"],
                condition=Q(status=Status.PENDING, transport=Transport.WORKER),
                name="execution_claimable",
            ),
            models.Index(
                fields=["account", "outcome_recorded_at"],
                condition=Q(outcome_recorded_at__isnull=False),
                name="execution_reported",
            ),
            models.Index(  # an ended one is in one of these two: what it costs to close it does not double
                fields=["closed_at"],
                condition=Q(closed_at__isnull=False, bodies_removed_at=None),
                name="execution_ended",
            ),
            models.Index(
                fields=["closed_at"],
                condition=Q(closed_at__isnull=False, bodies_removed_at__isnull=False),
                name="execution_ended_bodiless",
            ),
            models.Index(fields=["account", "-closed_at", "-id"], condition=_DEAD, name="execution_dead"),
            models.Index(fields=["cue", "-closed_at", "-id"], condition=_DEAD, name="execution_dead_of_cue"),
            models.Index(
                fields=["account", "error_class", "-closed_at", "-id"], condition=_DEAD, name="execution_dead_by_class"
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)

    @property
    def is_final(self) -> bool:
        return self.status in FINAL

    @property
    def waits_for_rate(self) -> bool:
        """Whether its cue's rate has put it off."""
        return self.paced_at is not None and self.paced_at == self.due_at and self.status in WAITING

    @property
    def criteria(self) -> set[str]:
        """The assertions that a success must carry: this run's own, else its cue's."""
        own = self.exit_criteria
        return set((self.cue.required_assertions if own is None else own) or ())

    @property
    def reported(self) -> bool | None:
        """What an explicit report said; None without one."""
        return None if self.outcome_is_provisional else self.outcome_success


class Attempt(models.Model):
    """One try to deliver: what was sent to whom, and what came back. Written once, when the try ends."""

    execution = models.ForeignKey(Execution, on_delete=models.CASCADE, related_name="attempt_log")
    number = models.PositiveSmallIntegerField()  # from 1
    started_at = models.DateTimeField()
    duration_ms = models.PositiveIntegerField()
    url = models.TextField()
    http_status = models.PositiveSmallIntegerField(null=True, blank=True)
    error_stage = models.CharField(max_length=12, blank=True)  # empty: success
    error_message = models.TextField(blank=True)
    response_body = models.TextField(blank=True)  # the first 2,000 characters
    response_truncated = models.BooleanField(default=False)  # there were more
    response_headers = models.JSONField(default=dict, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["execution", "number"], name="attempt_number_unique"),
        ]

    def __str__(self) -> str:
        return f"attempt {self.number}: {self.http_status or self.error_stage}"


class Step(models.Model):
    """One change of status and its reason: the execution's history."""

    execution = models.ForeignKey(Execution, on_delete=models.CASCADE, related_name="steps")
    at = models.DateTimeField()
    before = models.CharField(max_length=16, blank=True)  # empty: its birth
    after = models.CharField(max_length=16)
    reason = models.CharField(max_length=200)

    def __str__(self) -> str:
        return f"{self.before or 'created'} → {self.after}: {self.reason}"


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


# --- Figures by the hour ----------------------------------------------------------------------------------------


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
