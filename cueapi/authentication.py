"""Who is calling (contract 2): `Authorization: Bearer` with an API key, or with a session token."""

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from cueapi import clock, keys, sessions
from cueapi.errors import Unauthorized
from cueapi.models import Account, ApiKey
from cueapi.sessions import Session

KEY_START = "cue_sk_"


class ApiKeyAuthentication(BaseAuthentication):
    """Sets `request.user` to the account, and `request.auth` to its key or session."""

    def authenticate(self, request: Request) -> tuple[Account, ApiKey | Session]:
        token = bearer_token(request)
        if not token.startswith(KEY_START):
            return _with_session(token)
        key = keys.find(token, now=clock.now())
        return key.account, key


class SessionAuthentication(BaseAuthentication):
    """For what only a session may do. Raises SessionUnavailable where this server has none."""

    def authenticate(self, request: Request) -> tuple[Account, Session]:
        sessions.require_secret()
        token = bearer_token(request)
        if token.startswith(KEY_START):
            raise Unauthorized("This call takes a session token, not an API key.", code="invalid_session")
        return _with_session(token)


def bearer_token(request: Request) -> str:
    """The token in the Authorization header. Raises Unauthorized when there is no such header, or no such token."""
    header = request.headers.get("Authorization", "").strip()
    if not header:
        raise Unauthorized("There is no Authorization header. Send Authorization: Bearer cue_sk_…")
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthorized("The Authorization header must read Bearer cue_sk_…, with one space after Bearer.")
    return token.strip()


def _with_session(token: str) -> tuple[Account, Session]:
    account = sessions.find(token, now=clock.now())
    return account, Session(account.pk)
