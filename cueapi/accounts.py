"""Making and changing accounts: registration, secrets, profile."""

import re
import secrets
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

from cueapi import ids, keys, mail, outbound, trail
from cueapi.conf import conf
from cueapi.errors import BadRequest, Conflict, InvalidCallbackUrl, ValidationFailed
from cueapi.models import Account, AuditAction
from cueapi.plans import limits_of_new_account
from cueapi.signing import Secrets
from cueapi.trail import Change, Secret

NO_OVERLAP = timedelta(0)
SECRET_COLUMNS = ("webhook_secret", "previous_webhook_secret", "previous_webhook_secret_until")


def register(email: str, *, now: datetime) -> tuple[Account, str]:
    """A new account and its first key in plain text. Raises Conflict when the address is taken."""
    with transaction.atomic():
        account = _open(email, now=now)
        _, plaintext = keys.issue(account, label=keys.DEFAULT_LABEL, created_by="register", now=now)
    return account, plaintext


def may_register() -> bool:
    """Whether strangers may make accounts here: always in development, else where the operator lets them."""
    return conf().allow_register or conf().is_development


def find_or_open(email: str, *, now: datetime) -> Account:
    """The account with this address in any case, made without a key if there is none."""
    try:
        return of_address(email) or _open(email, now=now)
    except Conflict:  # made by somebody else at this moment
        return Account.objects.get(email__iexact=email)


def of_address(email: str) -> Account | None:
    return Account.objects.filter(email__iexact=email).first()


def _open(email: str, *, now: datetime) -> Account:
    """A new account without a key. Raises Conflict when the address is taken."""
    account = Account(email=email, slug=_free_slug(email), **limits_of_new_account())
    account.set_unusable_password()
    try:
        return _insert(account, now=now)
    except IntegrityError:
        if of_address(email):
            raise duplicate_email() from None
    account.slug = f"{account.slug[:60]}-{secrets.token_hex(4)}"  # another account took the slug meanwhile
    return _insert(account, now=now)


def _insert(account: Account, *, now: datetime) -> Account:
    with transaction.atomic():
        account.save(force_insert=True)
        after = {"email": account.email, "plan": account.plan}
        trail.record(Change(AuditAction.ACCOUNT_CREATED, trail.subject_of_account(account), after=after), now=now)
    return account


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
        before, after = {"is_staff": False, "is_superuser": False}, {"is_staff": True, "is_superuser": True}
        record_update(account, before, after, now=now)
        return key, password


def regenerate_webhook_secret(account: Account, *, overlap: timedelta = NO_OVERLAP, now: datetime) -> str:
    """A new secret, used from the next attempt of every delivery on. The old one signs too until `overlap` is over."""
    with transaction.atomic():
        locked = Account.objects.select_for_update(no_key=True).get(pk=account.pk)
        locked.previous_webhook_secret = locked.webhook_secret if overlap else ""
        locked.previous_webhook_secret_until = now + overlap if overlap else None
        locked.webhook_secret = ids.webhook_secret()
        locked.save(update_fields=[*SECRET_COLUMNS, "updated_at"])
        after = {"webhook_secret": Secret(locked.webhook_secret), "previous_secret_valid_until": now + overlap}
        _record_rotation(account, {"webhook_secret": Secret(account.webhook_secret)}, after, now=now)
        mail.send_later("secret_replaced", account, now=now)
    return locked.webhook_secret


def signing_secrets(account: Account, *, now: datetime) -> Secrets:
    """What signs the account's deliveries at `now`."""
    until = account.previous_webhook_secret_until
    overlaps = until is not None and now < until
    return Secrets(account.webhook_secret, account.previous_webhook_secret if overlaps else "")


def regenerate_alert_secret(account: Account, *, now: datetime) -> str:
    before = {"alert_webhook_secret": Secret(account.alert_webhook_secret)}
    account.alert_webhook_secret = ids.alert_secret()
    with transaction.atomic():
        account.save(update_fields=["alert_webhook_secret", "updated_at"])
        _record_rotation(account, before, {"alert_webhook_secret": Secret(account.alert_webhook_secret)}, now=now)
    return account.alert_webhook_secret


def _record_rotation(account: Account, before: trail.Facts, after: trail.Facts, *, now: datetime) -> None:
    trail.record(Change(AuditAction.SECRET_ROTATED, trail.subject_of_account(account), before, after), now=now)


def record_update(account: Account, before: trail.Facts, after: trail.Facts, *, now: datetime) -> None:
    """Note a change of an account's settings, in its transaction; nothing where nothing differs."""
    change = Change(AuditAction.ACCOUNT_UPDATED, trail.subject_of_account(account), before, after)
    trail.record_difference(change, now=now)


def alert_secret(account: Account) -> str:
    """The secret that signs alert webhooks, made on first use; of two first uses at once, one makes it."""
    none_yet = Account.objects.filter(pk=account.pk, alert_webhook_secret="")
    none_yet.update(alert_webhook_secret=ids.alert_secret())
    account.refresh_from_db(fields=["alert_webhook_secret"])
    return account.alert_webhook_secret


def update_profile(
    account: Account,
    *,
    email: str | None,
    alert_webhook_url: str | None,
    alert_email: bool | None = None,
    now: datetime,
) -> Account:
    """Change what is not None; an empty alert URL clears it. Raises Conflict, BadRequest, ValidationFailed."""
    given = {"email": email, "alert_webhook_url": alert_webhook_url, "alert_email": alert_email}
    changes = {name: value for name, value in given.items() if value is not None}
    if not changes:
        raise ValidationFailed("Nothing to change. Send email, alert_webhook_url or alert_email.", code="no_fields")
    if alert_webhook_url:
        _check_alert_url(alert_webhook_url)
        alert_secret(account)
    for name, value in changes.items():
        setattr(account, name, value)
    try:
        with transaction.atomic():
            held = Account.objects.select_for_update(no_key=True).filter(pk=account.pk)
            before = held.values(*changes).get()
            account.save(update_fields=[*changes, "updated_at"])
            record_update(account, _shown(before), _shown(changes), now=now)
    except IntegrityError:
        raise duplicate_email() from None
    return account


def _shown(profile: trail.Facts) -> trail.Facts:
    """The profile as the audit trail tells it."""
    url = profile.get("alert_webhook_url")
    return {**profile, "alert_webhook_url": trail.Address(url)} if url else profile


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
