"""Who uses the service: accounts, their API keys, and what they used in each month."""

import uuid
from datetime import date
from typing import Any, ClassVar, NoReturn

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models, transaction
from django.db.models.functions import Lower

from cueapi import ids
from cueapi.vault import SealedTextField


class AccountManager(BaseUserManager["Account"]):
    """Lets Django's own commands and forms make accounts; the product's way is `cueapi.accounts.register`."""

    def create_superuser(self, email: str, password: str | None = None, **extra: Any) -> "Account":
        account = self.model(email=email, slug=uuid.uuid4().hex, is_staff=True, is_superuser=True, **extra)
        account.set_password(password)
        account.save()
        return account

    def get_by_natural_key(self, username: str | None) -> "Account":
        return self.get(email__iexact=username)


class Account(AbstractBaseUser, PermissionsMixin):
    """One customer of this server. Staff accounts may also enter the admin, with a password."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField(max_length=254)
    slug = models.CharField(max_length=80, unique=True)

    plan = models.CharField(max_length=20, default="unlimited")
    active_cue_limit = models.PositiveIntegerField(default=1_000_000)
    monthly_execution_limit = models.PositiveIntegerField(default=1_000_000_000)
    rate_limit_per_minute = models.PositiveIntegerField(default=6_000)

    webhook_secret = SealedTextField(default=ids.webhook_secret, editable=False)
    previous_webhook_secret = SealedTextField(blank=True, editable=False)  # signs too, until the overlap ends
    previous_webhook_secret_until = models.DateTimeField(null=True, blank=True, editable=False)
    alert_email = models.BooleanField(default=True)  # whether alerts are mailed
    alert_webhook_url = models.TextField(blank=True)
    alert_webhook_secret = SealedTextField(blank=True, editable=False)

    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    USERNAME_FIELD = "email"
    objects: ClassVar[AccountManager] = AccountManager()

    class Meta:
        constraints = [models.UniqueConstraint(Lower("email"), name="account_email_unique")]

    def __str__(self) -> str:
        return self.email

    @transaction.atomic
    def save(self, *args: Any, **kwargs: Any) -> None:
        """In one transaction with the entry of the audit trail that a new password leaves (`cueapi.passwords`)."""
        super().save(*args, **kwargs)


class ApiKey(models.Model):
    """One bearer key, kept as a hash. `replaced_at`: regenerated; `revoked_at`: taken away."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="api_keys")
    hash = models.CharField(max_length=64, unique=True, editable=False)
    prefix = models.CharField(max_length=12, editable=False)
    copy = SealedTextField(blank=True, editable=False)  # only under KEEP_KEY_COPY
    label = models.CharField(max_length=100)
    created_by = models.CharField(max_length=20)
    created_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True, blank=True)
    replaced_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.prefix}… ({self.label})"

    @property
    def limiter_key(self) -> str:
        """Whose window a request with this key counts in."""
        return f"key:{self.pk}"


class MonthlyUsage(models.Model):
    """How many webhook attempts and worker claims an account made in one UTC calendar month."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="usage")
    month = models.DateField()  # its first day
    executions = models.PositiveIntegerField(default=0)
    limit_reached_at = models.DateTimeField(null=True, blank=True)  # the grace starts here, once a month

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "month"], name="usage_once_a_month")]

    def __str__(self) -> str:
        return f"{self.month:%Y-%m}: {self.executions}"


class DeviceLoginStatus(models.TextChoices):
    PENDING = "pending"  # the code is known
    EMAIL_SENT = "email_sent"  # a link was mailed
    APPROVED = "approved"  # the link was opened; the next poll gets the key
    CLAIMED = "claimed"  # the key was handed out


class DeviceLogin(models.Model):
    """One login of a command line or a worker: its code, the link that was mailed, the session it may open."""

    code = models.CharField(max_length=128, unique=True)
    status = models.CharField(max_length=10, choices=DeviceLoginStatus, default=DeviceLoginStatus.PENDING)
    email = models.EmailField(max_length=254, blank=True)
    account = models.ForeignKey(Account, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    link_hash = models.CharField(max_length=64, blank=True)  # of the token in the mail; empty once used
    link_expires_at = models.DateTimeField(null=True, blank=True)
    session_hash = models.CharField(max_length=64, blank=True)  # of the one-time session token; empty once used
    session_expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["expires_at"], name="device_login_expires"),
            models.Index(fields=["session_hash"], name="device_login_session"),
        ]

    def __str__(self) -> str:
        return f"login {self.pk}: {self.status}"


class IdempotentCall(models.Model):
    """The first answer to a call that carried an Idempotency-Key; the same call gets it again for a day."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    request_hash = models.CharField(max_length=64)  # of method, path and body
    status = models.PositiveSmallIntegerField()
    body = SealedTextField(blank=True)  # JSON; it may hold a new key
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "key"], name="idempotent_call_once")]
        indexes = [models.Index(fields=["created_at"], name="idempotent_call_age")]

    def __str__(self) -> str:
        return f"call {self.pk}: {self.status}"


class ActorKind(models.TextChoices):
    """In what capacity somebody acted."""

    API_KEY = "api_key", "API key"
    SESSION = "session", "session"  # a session token, or one of our own pages
    ADMIN = "admin", "admin"
    DEVICE_LOGIN = "device_login", "device login"
    SYSTEM = "system", "system"  # nobody: a rule, a task or a command


class AuditAction(models.TextChoices):
    """What was done."""

    CUE_CREATED = "cue.created"
    CUE_UPDATED = "cue.updated"
    CUE_PAUSED = "cue.paused"
    CUE_RESUMED = "cue.resumed"
    CUE_DELETED = "cue.deleted"
    KEY_CREATED = "key.created"
    KEY_RENAMED = "key.renamed"
    KEY_ROTATED = "key.rotated"
    KEY_REVOKED = "key.revoked"
    SECRET_ROTATED = "secret.rotated"  # noqa: S105  a name
    ACCOUNT_CREATED = "account.created"
    ACCOUNT_UPDATED = "account.updated"
    DESTINATION_OPENED = "destination.opened"
    DESTINATION_CLOSED = "destination.closed"
    DESTINATION_PACED = "destination.paced"
    EXECUTION_REPLAYED = "execution.replayed"
    EXECUTION_VERIFIED = "execution.verified"
    EXECUTION_HANDLED = "execution.handled"
    EXECUTION_UNHANDLED = "execution.unhandled"
    ALERT_ACKNOWLEDGED = "alert.acknowledged"
    WORKER_FORGOTTEN = "worker.forgotten"
    TASK_CREATED = "task.created"
    TASK_UPDATED = "task.updated"
    TASK_DELETED = "task.deleted"


class SubjectType(models.TextChoices):
    """What it was done to."""

    CUE = "cue", "cue"
    KEY = "key", "key"
    ACCOUNT = "account", "account"
    DESTINATION = "destination", "destination"
    EXECUTION = "execution", "execution"
    ALERT = "alert", "alert"
    WORKER = "worker", "worker"
    TASK = "task", "task"


class AppendOnly(TypeError):
    """An entry of the audit trail is written once, by `cueapi.trail`; only retention removes it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(self.__doc__)


class AuditQuerySet(models.QuerySet["AuditEvent"]):
    def of(self, account: Account) -> "AuditQuerySet":
        """The only way a request reaches an entry: its own account's."""
        return self.filter(account=account)

    def update(self, **columns: Any) -> NoReturn:
        raise AppendOnly

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnly

    def delete(self) -> NoReturn:
        raise AppendOnly


class AuditEvent(models.Model):
    """Who changed what, when, from where, before and after. It outlives what it tells of, so nothing refers to that.

    Written by `cueapi.trail` alone. Triggers of the database refuse to change an entry, and to delete one that is not
    over by the noted horizon.
    """

    account = models.ForeignKey(  # whose it was; null: the server's own
        Account,
        null=True,
        blank=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    at = models.DateTimeField()
    actor_kind = models.CharField("actor", max_length=12, choices=ActorKind)
    actor = models.CharField("who", max_length=254, blank=True)  # a key's prefix, an address, or the reason
    address = models.CharField(max_length=64, blank=True)
    request_id = models.CharField(max_length=36, blank=True)
    action = models.CharField(max_length=24, choices=AuditAction)
    subject_type = models.CharField(max_length=16, choices=SubjectType)
    subject_id = models.CharField(max_length=64)
    subject_name = models.CharField(max_length=300, blank=True)  # as it was then
    before = models.JSONField(default=dict)  # the changed fields only, secrets masked
    after = models.JSONField(default=dict)

    account_id: uuid.UUID | None
    objects: ClassVar[Any] = AuditQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["account", "-at", "-id"], name="audit_newest_first"),
            models.Index(fields=["account", "action", "-at", "-id"], name="audit_by_action"),
            models.Index(fields=["subject_id", "-at", "-id"], name="audit_by_subject"),
            models.Index(fields=["at", "id"], name="audit_age"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.subject_name or self.subject_id}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AppendOnly
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnly


def month_of(day: date) -> date:
    """The first day of the month of `day` (a date or an aware UTC datetime)."""
    return date(day.year, day.month, 1)
