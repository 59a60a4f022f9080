"""Making and changing accounts: registration, keys, secrets, profile."""

import hashlib
import re
import secrets
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

from cueapi import ids, mail, outbound
from cueapi.conf import conf
from cueapi.errors import BadRequest, Conflict, InvalidCallbackUrl, Unauthorized, ValidationFailed
from cueapi.models import Account, ApiKey
from cueapi.plans import limits_of_new_account
from cueapi.signing import Secrets

DEFAULT_LABEL = "default"
ROTATED_NOTICE = timedelta(hours=24)  # how long a replaced key still says that it was replaced
NO_OVERLAP = timedelta(0)
SECRET_COLUMNS = ("webhook_secret", "previous_webhook_secret", "previous_webhook_secret_until")
LAST_USED_STEP = timedelta(minutes=1)  # last_used_at is not written more often


def register(email: str, *, now: datetime, created_by: str = "register") -> tuple[Account, str]:
    """A new account and its first key in plain text. Raises Conflict when the address is taken."""
    account = Account(email=email, slug=_free_slug(email), **limits_of_new_account())
    account.set_unusable_password()
    try:
        return _save_with_key(account, created_by=created_by, now=now)
    except IntegrityError:
        if Account.objects.filter(email__iexact=email).exists():
            raise duplicate_email() from None
    account.slug = f"{account.slug[:60]}-{secrets.token_hex(4)}"  # another account took the slug meanwhile
    return _save_with_key(account, created_by=created_by, now=now)


def _save_with_key(account: Account, *, created_by: str, now: datetime) -> tuple[Account, str]:
    with transaction.atomic():
        account.save(force_insert=True)
        return account, issue_key(account, label=DEFAULT_LABEL, created_by=created_by, now=now)


def bootstrap(email: str, *, now: datetime) -> tuple[str, str] | None:
    """The first account, which is also the admin: (API key, admin password). None when there are accounts already."""
    with transaction.atomic():
        if Account.objects.exists():
            return None
        account, key = register(email, now=now)
        password = secrets.token_urlsafe(12)
        account.is_staff = account.is_superuser = True
        account.set_password(password)
        account.save(update_fields=["is_staff", "is_superuser", "password"])
        return key, password


def issue_key(account: Account, *, label: str, created_by: str, now: datetime) -> str:
    """A new key for the account, in plain text. Only its hash is kept, unless KEEP_KEY_COPY asks for a sealed copy."""
    plaintext = ids.api_key()
    ApiKey.objects.create(
        account=account,
        hash=hash_key(plaintext),
        prefix=plaintext[:12],
        copy=plaintext if label == DEFAULT_LABEL and conf().keeps_key_copies else "",
        label=label,
        created_by=created_by,
        created_at=now,
    )
    return plaintext


def hash_key(plaintext: str) -> str:
    return hashlib.sha256(plaintext.encode()).hexdigest()


def find_key(plaintext: str, *, now: datetime) -> ApiKey:
    """The live key with this text, its account loaded. Raises Unauthorized with the reason otherwise."""
    key = ApiKey.objects.select_related("account").filter(hash=hash_key(plaintext)).first()
    if key is None or not key.account.is_active:
        raise Unauthorized()
    if key.replaced_at is not None and key.replaced_at <= now:
        if now - key.replaced_at < ROTATED_NOTICE:
            raise Unauthorized("This key was replaced. Use the key that replaced it.", code="key_rotated")
        raise Unauthorized()
    if key.revoked_at is not None:
        raise Unauthorized("This key was revoked. Use another key.", code="key_revoked")
    if key.last_used_at is None or now - key.last_used_at >= LAST_USED_STEP:
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)
    return key


def regenerate_key(key: ApiKey, *, overlap: timedelta = NO_OVERLAP, now: datetime) -> str:
    """Replace `key`, which works on until `overlap` is over. Raises Unauthorized when it was replaced already."""
    with transaction.atomic():
        live = ApiKey.objects.filter(pk=key.pk, replaced_at=None, revoked_at=None)
        if not live.update(replaced_at=now + overlap):
            raise Unauthorized("This key was replaced. Use the key that replaced it.", code="key_rotated")
        plaintext = issue_key(key.account, label=key.label, created_by=key.created_by, now=now)
        mail.send_later("key_replaced", key.account, now=now)
    return plaintext


def regenerate_webhook_secret(account: Account, *, overlap: timedelta = NO_OVERLAP, now: datetime) -> str:
    """A new secret, used from the next attempt of every delivery on. The old one signs too until `overlap` is over."""
    with transaction.atomic():
        locked = Account.objects.select_for_update(no_key=True).get(pk=account.pk)
        locked.previous_webhook_secret = locked.webhook_secret if overlap else ""
        locked.previous_webhook_secret_until = now + overlap if overlap else None
        locked.webhook_secret = ids.webhook_secret()
        locked.save(update_fields=[*SECRET_COLUMNS, "updated_at"])
        mail.send_later("secret_replaced", account, now=now)
    return locked.webhook_secret


def signing_secrets(account: Account, *, now: datetime) -> Secrets:
    """What signs the account's deliveries at `now`."""
    until = account.previous_webhook_secret_until
    overlaps = until is not None and now < until
    return Secrets(account.webhook_secret, account.previous_webhook_secret if overlaps else "")


def regenerate_alert_secret(account: Account) -> str:
    account.alert_webhook_secret = ids.alert_secret()
    account.save(update_fields=["alert_webhook_secret", "updated_at"])
    return account.alert_webhook_secret


def alert_secret(account: Account) -> str:
    """The secret that signs alert webhooks, made on first use; of two first uses at once, one makes it."""
    none_yet = Account.objects.filter(pk=account.pk, alert_webhook_secret="")
    none_yet.update(alert_webhook_secret=ids.alert_secret())
    account.refresh_from_db(fields=["alert_webhook_secret"])
    return account.alert_webhook_secret


def update_profile(account: Account, *, email: str | None, alert_webhook_url: str | None) -> Account:
    """Change what is not None; an empty alert URL clears it. Raises Conflict, BadRequest, ValidationFailed."""
    changes = {"email": email, "alert_webhook_url": alert_webhook_url}
    changes = {name: value for name, value in changes.items() if value is not None}
    if not changes:
        raise ValidationFailed("Nothing to change. Send email or alert_webhook_url.", code="no_fields")
    if alert_webhook_url:
        _check_alert_url(alert_webhook_url)
        alert_secret(account)
    for name, value in changes.items():
        setattr(account, name, value)
    try:
        with transaction.atomic():
            account.save(update_fields=[*changes, "updated_at"])
    except IntegrityError:
        raise duplicate_email() from None
    return account


def duplicate_email() -> Conflict:
    return Conflict("An account with that e-mail address exists. Use its key.", code="duplicate_email")


def _check_alert_url(url: str) -> None:
    try:
        outbound.check_url(url)
    except InvalidCallbackUrl as error:
        raise BadRequest(error.message, code="invalid_alert_webhook_url") from error


def _free_slug(email: str) -> str:
    """A slug from the address' local part that no account has; the database has the last word."""
    base = re.sub(r"[^a-z0-9]+", "-", email.partition("@")[0].lower()).strip("-")[:60] or "account"
    if not Account.objects.filter(slug=base).exists():
        return base
    return f"{base}-{secrets.token_hex(4)}"
