"""API keys: made, found, named, replaced and revoked (contract 2.2). Of a key only its hash is kept.

An account always keeps a live key, unless an operator takes the last one away in the admin.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import CharField, Q, QuerySet, UUIDField

from cueapi import ids, mail, trail
from cueapi.conf import conf
from cueapi.errors import Conflict, NotFound, Unauthorized
from cueapi.models import Account, ApiKey, AuditAction, SubjectType
from cueapi.prepared import Instances, given
from cueapi.trail import Change, Subject

DEFAULT_LABEL = "default"
LABEL_MAX_CHARS = 100
MADE_BY_USER = "user"
ROTATED_NOTICE = timedelta(hours=24)  # how long a replaced key still says that it was replaced
ENDED_SHOWN = timedelta(days=30)  # how long a replaced or revoked key stays in the list
NO_OVERLAP = timedelta(0)
LAST_USED_STEP = timedelta(minutes=1)  # last_used_at is not written more often


def issue(account: Account, *, label: str, created_by: str, now: datetime) -> tuple[ApiKey, str]:
    """A new key and its plain text. Only the default key's is kept, sealed, and only where KEEP_KEY_COPY says so."""
    with transaction.atomic():
        key, plaintext = _make(account, label=label, created_by=created_by, now=now)
        after = {"prefix": key.prefix, "label": label, "created_by": created_by}
        trail.record(Change(AuditAction.KEY_CREATED, _subject(key), after=after), now=now)
    return key, plaintext


def _subject(key: ApiKey) -> Subject:
    return Subject(SubjectType.KEY, key.pk, f"{key.prefix}… ({key.label})", key.account_id)


def _make(account: Account, *, label: str, created_by: str, now: datetime) -> tuple[ApiKey, str]:
    plaintext = ids.api_key()
    is_default = label == DEFAULT_LABEL and created_by != MADE_BY_USER
    key = ApiKey.objects.create(
        account=account,
        hash=hash_key(plaintext),
        prefix=plaintext[:12],
        copy=plaintext if is_default and conf().keeps_key_copies else "",
        label=label,
        created_by=created_by,
        created_at=now,
    )
    return key, plaintext


def hash_key(plaintext: str) -> str:
    return hashlib.sha256(plaintext.encode()).hexdigest()


def find(plaintext: str, *, now: datetime) -> ApiKey:
    """The live key with this text, its account loaded. Raises Unauthorized with the reason otherwise."""
    key = _by_hash.first(hash=hash_key(plaintext))
    if key is None or not _load_account(key).is_active:
        raise unknown_key()
    if key.replaced_at is not None and key.replaced_at <= now:
        raise _rotated() if now - key.replaced_at < ROTATED_NOTICE else unknown_key()
    if key.revoked_at is not None:
        raise Unauthorized("This key was revoked. Use another key of the account.", code="key_revoked")
    if key.last_used_at is None or now - key.last_used_at >= LAST_USED_STEP:
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)
    return key


def _load_account(key: ApiKey) -> Account:
    (key.account,) = _account.all(pk=key.account_id)
    return key.account


_by_hash = Instances(ApiKey, lambda: ApiKey.objects.filter(hash=given("hash", CharField())))
_account = Instances(Account, lambda: Account.objects.filter(pk=given("pk", UUIDField())))


def unknown_key() -> Unauthorized:
    return Unauthorized("This server knows no such API key. Check that it is complete and that it was made here.")


def _rotated() -> Unauthorized:
    return Unauthorized("This key was replaced. Use the key that replaced it.", code="key_rotated")


def default_of(account: Account) -> ApiKey | None:
    """The account's default key, or else its oldest live one; None when an operator revoked them all."""
    live = _live(account).order_by("created_at", "pk")
    return live.filter(label=DEFAULT_LABEL).exclude(created_by=MADE_BY_USER).first() or live.first()


def kept_copy(account: Account) -> str:
    """The plain text of the default key, where the operator has copies kept; else the empty string."""
    if not conf().keeps_key_copies:
        return ""
    key = _live(account).exclude(copy="").order_by("-created_at").first()
    return key.copy if key else ""


def regenerate(key: ApiKey, *, overlap: timedelta = NO_OVERLAP, now: datetime) -> str:
    """Replace `key`, which works on until `overlap` is over. Raises Unauthorized when it was replaced already."""
    with transaction.atomic():
        if not _live(key.account).filter(pk=key.pk).update(replaced_at=now + overlap):
            raise _rotated()
        new, plaintext = _make(key.account, label=key.label, created_by=key.created_by, now=now)
        before = {"prefix": key.prefix, "replaced_at": None}
        after = {"prefix": new.prefix, "replaced_at": now + overlap, "replaced_by": new.pk}
        trail.record(Change(AuditAction.KEY_ROTATED, _subject(key), before, after), now=now)
        mail.send_later("key_replaced", key.account, now=now)
    return plaintext


def listed(account: Account, *, now: datetime) -> QuerySet[ApiKey]:
    """The account's keys, newest first; those that ended stay for a month."""
    recent = now - ENDED_SHOWN
    return ApiKey.objects.filter(
        Q(replaced_at=None) | Q(replaced_at__gt=recent),
        Q(revoked_at=None) | Q(revoked_at__gt=recent),
        account=account,
    ).order_by("-created_at", "-pk")


def ended_at(key: ApiKey, *, now: datetime) -> datetime | None:
    """When the key stopped to work, by revocation or by replacement; None for one that still does."""
    if key.revoked_at is not None:
        return key.revoked_at
    return key.replaced_at if key.replaced_at is not None and key.replaced_at <= now else None


def rename(account: Account, key_id: str, label: str, *, now: datetime) -> ApiKey:
    """Give the key another label. Raises NotFound."""
    _of(account, key_id)
    with transaction.atomic():
        key = ApiKey.objects.select_for_update(no_key=True).get(pk=key_id)
        before, key.label = key.label, label
        key.save(update_fields=["label"])
        change = Change(AuditAction.KEY_RENAMED, _subject(key), {"label": before}, {"label": label})
        trail.record_difference(change, now=now)
    return key


def revoke(account: Account, key_id: str, *, now: datetime) -> datetime:
    """End the key at once, and say when it ended: now, or earlier. Raises NotFound, and Conflict for the last one."""
    with transaction.atomic():
        # Of two calls that each revoke one of the last two keys, the second has to see what the first did.
        Account.objects.select_for_update(no_key=True).get(pk=account.pk)
        key = _of(account, key_id)
        ended = ended_at(key, now=now)
        if ended is not None:
            return ended
        if not _live(account).exclude(pk=key.pk).exists():
            raise _last_key()
        _revoke([key], now=now)
    return now


def revoke_all(keys: QuerySet[ApiKey], *, now: datetime) -> int:
    """End the live ones among these, even an account's last. The number that ended."""
    with transaction.atomic():
        live = keys.order_by("pk").filter(replaced_at=None, revoked_at=None)
        held = list(live.select_for_update(no_key=True, of=("self",)))
        _revoke(held, now=now)
    return len(held)


def _revoke(held: Sequence[ApiKey], *, now: datetime) -> None:
    """Call with the keys' rows, or their account's, locked."""
    ended = [key for key in held if ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now)]
    before, after = {"revoked_at": None}, {"revoked_at": now}
    trail.record(*(Change(AuditAction.KEY_REVOKED, _subject(key), before, after) for key in ended), now=now)


def _of(account: Account, key_id: str) -> ApiKey:
    parsed = ids.parse_uuid(key_id)
    key = ApiKey.objects.filter(account=account, pk=parsed).first() if parsed else None
    if key is None:
        raise NotFound("No key with that id. GET /v1/auth/keys lists yours.")
    return key


def _live(account: Account) -> QuerySet[ApiKey]:
    """The keys that work and will go on to; one in its overlap will not."""
    return ApiKey.objects.filter(account=account, replaced_at=None, revoked_at=None)


def _last_key() -> Conflict:
    return Conflict(
        "This is the account's last live key. Make another one first (POST /v1/auth/keys), "
        "or replace this one (POST /v1/auth/key/regenerate).",
        code="last_key_protected",
    )
