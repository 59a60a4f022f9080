"""Session tokens (contract 2.4): signed with SESSION_SECRET, good for some hours, and kept nowhere.

A session lets its account in wherever an API key does, and ends by itself or when the account is made inactive.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import jwt

from cueapi.conf import conf
from cueapi.errors import ApiError, Unauthorized
from cueapi.ids import parse_uuid
from cueapi.models import Account

ALGORITHM = "HS256"
TYPE = "session"
CLAIMS = ("sub", "email", "type", "iat", "exp")


class SessionUnavailable(ApiError):
    """This server has no SESSION_SECRET, so it has no sessions. Use an API key, or let the operator set one."""

    status = 503
    code = "session_unavailable"


@dataclass(frozen=True)
class Session:
    """What a request carries that came with a session token."""

    account_id: UUID

    @property
    def limiter_key(self) -> str:
        """All sessions of an account share one window, or every refresh would open a fresh one."""
        return f"session:{self.account_id}"


def require_secret() -> str:
    """SESSION_SECRET. Raises SessionUnavailable when there is none."""
    secret = conf().session_secret
    if not secret:
        raise SessionUnavailable()
    return secret


def token_for(account: Account, *, now: datetime) -> str:
    """A new session token, good for SESSION_JWT_EXPIRY_HOURS. Raises SessionUnavailable."""
    expires = now + timedelta(hours=conf().session_jwt_expiry_hours)
    claims = {
        "sub": str(account.pk),
        "email": account.email,
        "type": TYPE,
        "iat": int(now.timestamp()),
        "exp": int(expires.timestamp()),
    }
    return jwt.encode(claims, require_secret(), algorithm=ALGORITHM)


def find(token: str, *, now: datetime) -> Account:
    """The account that the token lets in. Raises Unauthorized with the reason when it lets nobody in."""
    claims = _claims(token)
    if claims["exp"] <= now.timestamp():
        raise Unauthorized("This session is over. Sign in again, or use an API key.", code="session_expired")
    account_id = parse_uuid(claims["sub"])
    account = Account.objects.filter(pk=account_id, is_active=True).first() if account_id else None
    if account is None:
        raise Unauthorized("The account of this session is gone or inactive. Sign in again.", code="user_not_found")
    return account


def _claims(token: str) -> dict[str, Any]:
    """What a genuine token says. `find` compares the time itself: PyJWT would read the clock of its own accord."""
    secret = conf().session_secret
    if not secret:
        raise invalid_session()
    options: Any = {"require": list(CLAIMS), "verify_exp": False, "verify_iat": False, "verify_nbf": False}
    try:
        claims: dict[str, Any] = jwt.decode(token, secret, algorithms=[ALGORITHM], options=options)
    except (jwt.PyJWTError, ValueError) as error:
        raise invalid_session() from error
    if claims["type"] != TYPE or not isinstance(claims["exp"], int):
        raise invalid_session()
    return claims


def invalid_session() -> Unauthorized:
    return Unauthorized(
        "This is neither an API key, which starts with cue_sk_, nor a session token of this server. "
        "Check that it is complete, or sign in again.",
        code="invalid_session",
    )
