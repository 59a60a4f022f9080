"""Who uses the service: accounts, their API keys, and what they used in each month."""

import uuid
from datetime import date
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
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


def month_of(day: date) -> date:
    """The first day of the month of `day` (a date or an aware UTC datetime)."""
    return date(day.year, day.month, 1)
