"""Signing in a command line or a worker with a code and a mailed link (contract 2.3).

    pending ──submit──▶ email_sent ──link opened──▶ approved ──poll──▶ claimed

Each step is one guarded UPDATE: of two that try it at once, one does it. Each renews the time the login has left.
The link token and the session token are kept as hashes; a key is made only in the moment in which it is handed out.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urlencode

from django.db import IntegrityError, transaction
from django.db.models import Q

from cueapi import accounts, keys, mail, trail
from cueapi.conf import conf
from cueapi.errors import BadRequest, Conflict, NotFound, Unauthorized
from cueapi.models import Account, ActorKind, DeviceLogin, DeviceLoginStatus

LIFETIME = timedelta(minutes=15)  # of a code, a link and a session token alike
CODE_CHARS = range(6, 129)
EXPIRED = "expired"  # what a poll answers for it; no row has this status
KEPT_FOR = timedelta(days=1)
FORGET_MAX = 1000


class LinkRefused(Exception):
    """A sign-in link that approves nothing; the text says why and what to do."""


@dataclass(frozen=True)
class Credentials:
    """What a login ends with. `session_token` opens one session, once."""

    email: str
    api_key: str = field(repr=False)
    session_token: str = field(repr=False)


def is_code(text: str) -> bool:
    return len(text) in CODE_CHARS and text.isprintable()


def start(code: str, *, now: datetime) -> DeviceLogin:
    """Begin a login with the code that the client made up. Raises BadRequest, and Conflict for a code in use."""
    if not is_code(code):
        raise BadRequest(
            f"A device code has {CODE_CHARS[0]} to {CODE_CHARS[-1]} printable characters, such as ABCD-1234.",
            code="invalid_device_code",
        )
    over = Q(expires_at__lte=now) | Q(status=DeviceLoginStatus.CLAIMED)
    try:
        with transaction.atomic():
            DeviceLogin.objects.filter(over, code=code).delete()
            return DeviceLogin.objects.create(code=code, created_at=now, expires_at=now + LIFETIME)
    except IntegrityError:
        raise Conflict("This device code is in use. Start again with another one.", code="device_code_exists") from None


def require_waiting(code: str, *, now: datetime) -> DeviceLogin:
    """The login that waits for an address under this code. Raises NotFound and BadRequest."""
    login = _find(code)
    if login is None:
        raise NotFound("No login with that code. Start it again on the device.", code="device_code_not_found")
    if login.expires_at <= now:
        raise BadRequest("This code has expired. Start the login again on the device.", code="device_code_expired")
    if login.status != DeviceLoginStatus.PENDING:
        raise _mailed_already()
    return login


def _mailed_already() -> BadRequest:
    return BadRequest(
        "A link was sent for this code already. Open it, or start the login again on the device.",
        code="invalid_status",
    )


def send_link(code: str, email: str, *, now: datetime) -> None:
    """Mail the link that approves this login. Raises NotFound and BadRequest; the code takes one address only."""
    login = require_waiting(code, now=now)
    token = secrets.token_hex(32)
    with transaction.atomic():
        pending = DeviceLogin.objects.filter(pk=login.pk, status=DeviceLoginStatus.PENDING)
        if not pending.update(
            status=DeviceLoginStatus.EMAIL_SENT,
            email=email,
            link_hash=_hash(token),
            link_expires_at=now + LIFETIME,
            expires_at=now + LIFETIME,
        ):
            raise _mailed_already()
        mail.send_link_later(email, code, link_for(code, token))


def link_for(code: str, token: str) -> str:
    return f"{conf().base_url}/v1/auth/verify?{urlencode({'token': token, 'device_code': code})}"


def check_link(code: str, token: str, *, now: datetime) -> DeviceLogin:
    """The login that this link would approve. Raises LinkRefused."""
    login = _find(code)
    if login is None or login.status == DeviceLoginStatus.PENDING:
        raise LinkRefused("This is not a sign-in link of this server. Open the link exactly as it was mailed.")
    if login.status != DeviceLoginStatus.EMAIL_SENT:
        raise LinkRefused(
            "This link was used already. If your device says that it is signed in, all is well; "
            "otherwise start the login again there."
        )
    if not hmac.compare_digest(login.link_hash, _hash(token)):
        raise LinkRefused("This is not the link that was mailed for this code. Open it exactly as it was mailed.")
    if login.link_expires_at is None or login.link_expires_at <= now:
        raise LinkRefused("This link has expired. Start the login again on your device to get a new one.")
    return login


def approve(code: str, token: str, *, now: datetime) -> DeviceLogin:
    """Open the link, once: the next poll hands out a key. A new address gets its account. Raises LinkRefused."""
    login = check_link(code, token, now=now)
    with transaction.atomic(), trail.acting(ActorKind.DEVICE_LOGIN, login.email):
        sent = DeviceLogin.objects.filter(pk=login.pk, status=DeviceLoginStatus.EMAIL_SENT, link_hash=login.link_hash)
        if not sent.update(status=DeviceLoginStatus.APPROVED, link_hash="", expires_at=now + LIFETIME):
            return check_link(code, token, now=now)  # somebody opened it a moment ago, so this says so
        DeviceLogin.objects.filter(pk=login.pk).update(account=_account_for(login.email, now=now))
    return login


def _account_for(email: str, *, now: datetime) -> Account:
    account = accounts.of_address(email)
    if account is None and not accounts.may_register():
        raise LinkRefused(
            "There is no account with this address, and registration is switched off on this server. "
            "Ask its operator for a key."
        )
    account = account or accounts.find_or_open(email, now=now)
    if not account.is_active:
        raise LinkRefused("The account with this address is switched off. Ask the operator of this server.")
    return account


def poll(code: str, *, now: datetime) -> tuple[str, Credentials | None]:
    """How the login stands, in one word; with the credentials for the one poll that finds it approved."""
    login = _find(code)
    if login is None:
        return EXPIRED, None
    if login.status == DeviceLoginStatus.CLAIMED:
        return login.status, None
    if login.expires_at <= now or (login.account and not login.account.is_active):
        return EXPIRED, None
    if login.status != DeviceLoginStatus.APPROVED or login.account is None:
        return login.status, None
    credentials = _claim(login, login.account, now=now)
    return (DeviceLoginStatus.APPROVED if credentials else DeviceLoginStatus.CLAIMED), credentials


def _claim(login: DeviceLogin, account: Account, *, now: datetime) -> Credentials | None:
    """Hand out the credentials; None when another poll was faster."""
    session_token = secrets.token_urlsafe(32)
    with transaction.atomic(), trail.acting(ActorKind.DEVICE_LOGIN, login.email):
        approved = DeviceLogin.objects.filter(pk=login.pk, status=DeviceLoginStatus.APPROVED)
        if not approved.update(
            status=DeviceLoginStatus.CLAIMED,
            session_hash=_hash(session_token),
            session_expires_at=now + LIFETIME,
        ):
            return None
        return Credentials(account.email, _key_for(account, login.code, now=now), session_token)


def _key_for(account: Account, code: str, *, now: datetime) -> str:
    """The kept copy of the account's key, or a new key. A key that is in use is never replaced by a login."""
    if copy := keys.kept_copy(account):
        return copy
    label = f"device:{code}" if keys.default_of(account) else keys.DEFAULT_LABEL
    return keys.issue(account, label=label[: keys.LABEL_MAX_CHARS], created_by="device", now=now)[1]


def redeem(session_token: str, *, now: datetime) -> Account:
    """The account whose login handed out this token, once. Raises Unauthorized."""
    mine = DeviceLogin.objects.filter(session_hash=_hash(session_token), session_expires_at__gt=now)
    login = mine.filter(account__is_active=True).select_related("account").first()
    if login is None or login.account is None or not mine.update(session_hash=""):
        raise Unauthorized(
            "This login token is unknown, used or older than 15 minutes. Sign in again.", code="invalid_token"
        )
    return login.account


def forget(*, now: datetime) -> int:
    """Delete some of the logins that were over a day ago; how many."""
    old = DeviceLogin.objects.filter(expires_at__lte=now - KEPT_FOR).order_by("expires_at")
    return DeviceLogin.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:FORGET_MAX])).delete()[0]


def _find(code: str) -> DeviceLogin | None:
    return DeviceLogin.objects.select_related("account").filter(code=code).first() if is_code(code) else None


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
