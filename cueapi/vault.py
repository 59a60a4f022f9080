"""Secrets at rest: sealed with a key derived from SECRET_KEY, opened only where they are used."""

import base64
import json
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.db import models


@lru_cache(maxsize=4)
def _fernet(secret_key: str) -> Fernet:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"cueapi at rest v1").derive(secret_key.encode())
    return Fernet(base64.urlsafe_b64encode(derived))


def seal(text: str) -> str:
    return _fernet(settings.SECRET_KEY).encrypt(text.encode()).decode()


def unseal(token: str) -> str:
    """The sealed text. Raises cryptography.fernet.InvalidToken when SECRET_KEY is not the one that sealed it."""
    return _fernet(settings.SECRET_KEY).decrypt(token.encode()).decode()


class SealedTextField(models.TextField):
    """Text that only this server can read. The empty string stays empty, so that "none" can be seen."""

    def from_db_value(self, value: str | None, *args: Any) -> str | None:
        return unseal(value) if value else value

    def get_prep_value(self, value: Any) -> Any:
        return seal(value) if value else value


class SealedJsonField(models.TextField):
    """A JSON object that only this server can read."""

    def from_db_value(self, value: str | None, *args: Any) -> Any:
        return json.loads(unseal(value)) if value else {}

    def get_prep_value(self, value: Any) -> str:
        return seal(json.dumps(value)) if value else ""
