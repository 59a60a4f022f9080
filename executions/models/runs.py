"""Executions, the attempts of each, and each step that it took."""

import uuid
from datetime import datetime
from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

from cueapi.models import Account
from cues.models import Cue, Transport
from executions.failures import ErrorClass
from executions.states import FINAL, WAITING, OutcomeState, Status, Trigger

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
            models.Index(fields=["-created_at", "-id"], name="execution_newest_of_all"),
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
            models.Index(fields=["-closed_at", "-id"], condition=_DEAD, name="execution_dead_of_all"),
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


class DeadLetterManager(models.Manager["Execution"]):
    def get_queryset(self) -> ExecutionQuerySet:
        return ExecutionQuerySet(self.model, using=self._db).dead()


class DeadLetter(Execution):
    """An execution that ended badly, as a list of its own. Who may do what with it is said of executions."""

    objects: ClassVar[Any] = DeadLetterManager()

    class Meta:
        proxy = True
        default_permissions = ()


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
