"""A cue: what an agent's developer wants to happen, where it is delivered, and what to do when it fails."""

from datetime import datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from django.db import models
from django.db.models import Q

from cueapi import ids
from cueapi.models import Account
from cueapi.vault import SealedJsonField
from cues.cron import parse_cron
from cues.rhythm import CronRhythm, Interval, Rhythm
from cues.timetable import Timetable
from cues.zones import zone


class CueStatus(models.TextChoices):
    ACTIVE = "active"
    PAUSED = "paused"
    COMPLETED = "completed"  # a one-shot that is done
    FAILED = "failed"  # a one-shot that gave up


class ScheduleType(models.TextChoices):
    RECURRING = "recurring"
    ONCE = "once"


class Transport(models.TextChoices):
    WEBHOOK = "webhook"
    WORKER = "worker"


class VerificationMode(models.TextChoices):
    NONE = "none"
    EXTERNAL_ID = "require_external_id"
    RESULT_URL = "require_result_url"
    ARTIFACTS = "require_artifacts"
    MANUAL = "manual"


class CatchUp(models.TextChoices):
    RUN_ONCE = "run_once_if_missed"
    SKIP = "skip_missed"
    REPLAY_ALL = "replay_all_missed"


class Dst(models.TextChoices):
    """What becomes of a fixed hour that a clock change takes away or gives twice."""

    DEFAULT = "default"  # runs after the gap; the first of two
    SKIP = "skip"  # does not run in a gap; the first of two
    BOTH = "both"  # runs after the gap; both of two


class Overlap(models.TextChoices):
    """What becomes of a window whose cue still has an execution that has not ended."""

    ALLOW = "allow"
    SKIP = "skip"
    QUEUE = "queue"


class Verdict(models.TextChoices):
    """What became of a window."""

    RAN = "ran"
    QUEUED = "queued"  # ran once the executions before it had ended
    CAUGHT_UP = "caught_up"  # seen too late, and run
    MISSED = "missed"  # seen too late, and left
    OVERLAP = "skipped_overlap"
    PAUSED = "skipped_paused"
    LIMIT = "skipped_limit"  # its max_runs were used up
    CHANGED = "skipped_changed"  # the schedule changed before it ran


RUNS = (Verdict.RAN, Verdict.QUEUED, Verdict.CAUGHT_UP)
"""The verdicts that made an execution."""


OPEN = (CueStatus.ACTIVE, CueStatus.PAUSED)
"""What counts towards the account's cue limit."""

DEFAULT_MAX_ATTEMPTS = 3
DEFAULT_TIMEOUT_S = 30
DEFAULT_OUTCOME_DEADLINE_S = 300


def default_backoff() -> list[int]:
    return [1, 5, 15]


class CueQuerySet(models.QuerySet["Cue"]):
    def of(self, account: Account) -> "CueQuerySet":
        """The only way a request reaches a cue: its own account's."""
        return self.filter(account=account)

    def open(self) -> "CueQuerySet":
        return self.filter(status__in=OPEN)

    def due(self, now: Any) -> "CueQuerySet":
        """Cues whose time has come, and whose periodic task, if any, is switched on."""
        switched_on = Q(periodic_task=None) | Q(periodic_task__enabled=True)
        return self.filter(switched_on, status=CueStatus.ACTIVE, next_run__lte=now)


class Schedule(models.Model):
    """When a cue comes due and what becomes of windows that cannot run: the columns of a cue and of its history."""

    status = models.CharField(max_length=10, choices=CueStatus, default=CueStatus.ACTIVE)
    schedule_type = models.CharField(max_length=10, choices=ScheduleType)
    cron = models.CharField(max_length=100, blank=True)  # of a recurring cue: this, or every_s and anchor
    every_s = models.PositiveIntegerField(null=True, blank=True)
    anchor = models.DateTimeField(null=True, blank=True)
    at = models.DateTimeField(null=True, blank=True)  # of a one-shot
    timezone = models.CharField(max_length=64, default="UTC")
    dst = models.CharField(max_length=7, choices=Dst, default=Dst.DEFAULT)
    starts_at = models.DateTimeField(null=True, blank=True)
    ends_at = models.DateTimeField(null=True, blank=True)
    max_runs = models.PositiveIntegerField(null=True, blank=True)
    jitter_s = models.PositiveIntegerField(default=0)
    overlap = models.CharField(max_length=5, choices=Overlap, default=Overlap.ALLOW)
    catch_up = models.CharField(max_length=20, choices=CatchUp, default=CatchUp.RUN_ONCE)

    class Meta:
        abstract = True

    @property
    def is_recurring(self) -> bool:
        return self.schedule_type == ScheduleType.RECURRING

    @property
    def facts(self) -> dict[str, Any]:
        """Every column of the schedule, by name: equal facts mean the same windows with the same rules."""
        return {name: getattr(self, name) for name in SCHEDULE_COLUMNS}

    @property
    def timetable(self) -> Timetable | None:
        """When it comes due; None for a one-shot. Raises InvalidTimezone and InvalidSchedule."""
        if not self.is_recurring:
            return None
        seed = self.id_of_cue if self.jitter_s else ""  # without jitter, equal schedules are equal timetables
        return Timetable(self._rhythm, self.starts_at, self.ends_at, self.jitter_s, seed)

    @property
    def _rhythm(self) -> Rhythm:
        if self.every_s is not None and self.anchor is not None:
            return Interval(timedelta(seconds=self.every_s), self.anchor)
        return CronRhythm(parse_cron(self.cron), zone(self.timezone), self.dst)

    @property
    def id_of_cue(self) -> str:
        raise NotImplementedError


SCHEDULE_COLUMNS = tuple(field.attname for field in Schedule._meta.local_fields)


class Cue(Schedule):
    """One declared piece of work. `next_run` decides when it fires; null means that it does not."""

    id = models.CharField(primary_key=True, max_length=16, default=ids.cue_id, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="cues")
    name = models.CharField(max_length=255)
    description = models.TextField(null=True, blank=True)

    is_lenient = models.BooleanField(default=False)  # a one-time cue: contract 3.4
    next_run = models.DateTimeField(null=True, blank=True)
    last_slot = models.DateTimeField(null=True, blank=True)  # the latest due time that was dealt with
    last_run = models.DateTimeField(null=True, blank=True)
    success_expected_by = models.DateTimeField(null=True, blank=True, editable=False)  # only with alerts set
    periodic_task = models.OneToOneField(
        "django_celery_beat.PeriodicTask", null=True, blank=True, editable=False, on_delete=models.PROTECT
    )

    transport = models.CharField(max_length=10, choices=Transport, default=Transport.WEBHOOK)
    callback_url = models.TextField(blank=True)
    callback_method = models.CharField(max_length=6, default="POST")
    callback_headers: Any = SealedJsonField(default=dict, blank=True)  # often holds the receiver's own token
    lane = models.CharField(max_length=300, blank=True, editable=False)  # the callback's scheme, host and port
    payload = models.JSONField(default=dict, blank=True)

    max_attempts = models.PositiveSmallIntegerField(default=DEFAULT_MAX_ATTEMPTS)
    backoff_minutes = models.JSONField(default=default_backoff)
    retry_jitter = models.FloatField(default=0.0)  # the part of itself by which a wait is lengthened at most
    on_failure_email = models.BooleanField(default=True)
    on_failure_webhook = models.TextField(null=True, blank=True)
    on_failure_pause = models.BooleanField(default=False)

    # "delivery" and "alerts" are null in answers unless set: two-phase delivery hangs on the difference.
    delivery_timeout_s = models.PositiveSmallIntegerField(null=True, blank=True)
    outcome_deadline_s = models.PositiveSmallIntegerField(null=True, blank=True)
    rate_per_minute = models.PositiveIntegerField(null=True, blank=True)  # attempts that may start; null: no limit
    alert_consecutive_failures = models.PositiveSmallIntegerField(null=True, blank=True)
    alert_missed_window_multiplier = models.PositiveSmallIntegerField(null=True, blank=True)
    alert_grace_s = models.PositiveIntegerField(null=True, blank=True)

    verification_mode = models.CharField(max_length=20, choices=VerificationMode, null=True, blank=True)
    required_assertions = models.JSONField(null=True, blank=True)
    on_success_fire = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="fired_by"
    )
    require_payload_override = models.BooleanField(default=False)
    required_payload_keys = models.JSONField(null=True, blank=True)

    run_count = models.PositiveIntegerField(default=0)
    fired_count = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    account_id: UUID
    objects: ClassVar[Any] = CueQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "name"], condition=Q(is_lenient=False), name="cue_name_unique"),
            models.CheckConstraint(
                condition=Q(status=CueStatus.ACTIVE) | Q(next_run=None), name="cue_only_active_has_next_run"
            ),
            models.CheckConstraint(condition=Q(status__in=CueStatus.values), name="cue_status_known"),
            models.CheckConstraint(
                condition=Q(retry_jitter__gte=0, retry_jitter__lte=1), name="cue_retry_jitter_is_a_share"
            ),
        ]
        indexes = [
            models.Index(fields=["next_run"], condition=Q(next_run__isnull=False), name="cue_due"),
            models.Index(fields=["account", "-created_at", "-id"], name="cue_newest_first"),
            models.Index(fields=["account", "status"], name="cue_by_status"),
            models.Index(
                fields=["success_expected_by"], condition=Q(success_expected_by__isnull=False), name="cue_success_due"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"

    @property
    def id_of_cue(self) -> str:
        return self.id

    @property
    def has_fired(self) -> bool:
        """A one-shot whose own time was dealt with; only a new time makes it run again."""
        return not self.is_recurring and self.last_slot is not None and self.last_slot == self.at

    @property
    def is_two_phase(self) -> bool:
        """A 2xx only acknowledges; the outcome decides (contract 4.2)."""
        return self.outcome_deadline_s is not None

    @property
    def verification(self) -> str:
        return self.verification_mode or VerificationMode.NONE


class Definition(Schedule):
    """What a cue's schedule and status were from `since` on, up to the next definition of the same cue."""

    cue = models.ForeignKey(Cue, on_delete=models.CASCADE, related_name="definitions", db_index=False)
    since = models.DateTimeField()

    cue_id: str

    class Meta:
        constraints = [models.UniqueConstraint(fields=["cue", "since"], name="definition_one_at_a_time")]

    def __str__(self) -> str:
        return f"{self.cue_id} since {self.since}"

    @property
    def id_of_cue(self) -> str:
        return self.cue_id


class LedgerEntry(models.Model):
    """What became of a window of a cue, or of `windows` consecutive ones that came to the same end without a run.

    Whoever moves a cue past its windows writes their entries in the same transaction, so each window has one.
    """

    pk = models.CompositePrimaryKey("cue_id", "first_at")
    cue = models.ForeignKey(Cue, on_delete=models.CASCADE, related_name="ledger", db_index=False)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField(null=True, blank=True)  # null: of one window only
    windows = models.PositiveIntegerField(default=1)
    verdict = models.CharField(max_length=16, choices=Verdict)
    execution_id = models.UUIDField(null=True, blank=True)  # the run; of skipped_overlap, the one in the way

    cue_id: str

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(verdict__in=Verdict.values), name="ledger_verdict_known"),
            models.CheckConstraint(
                condition=Q(windows=1, last_at=None) | Q(windows__gt=1, last_at__gt=models.F("first_at")),
                name="ledger_span_has_an_end",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.cue_id} {self.first_at}: {self.verdict}"

    @property
    def until(self) -> datetime:
        """The last of its windows."""
        return self.last_at or self.first_at
