"""Bearer keys (contract 2): `Authorization: Bearer cue_sk_…`."""

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from cueapi import clock
from cueapi.accounts import find_key
from cueapi.errors import Unauthorized
from cueapi.models import Account, ApiKey


class ApiKeyAuthentication(BaseAuthentication):
    """Sets `request.user` to the account and `request.auth` to the key."""

    def authenticate(self, request: Request) -> tuple[Account, ApiKey]:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise Unauthorized()
        if not token.startswith("cue_sk_"):
            raise Unauthorized("This is not an API key: keys start with cue_sk_.", code="invalid_session")
        key = find_key(token, now=clock.now())
        return key.account, key
