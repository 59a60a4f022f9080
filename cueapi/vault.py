"""Secrets at rest: sealed with a key derived from SECRET_KEY, opened only where they are used."""

import base64
import json
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, MultiFernet
from django.db import models

from cueapi.keyring import keys_for

PURPOSE = "cueapi at rest v1"


@lru_cache(maxsize=4)
def _fernet(keys: tuple[bytes, ...]) -> MultiFernet:
    return MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in keys])


def seal(text: str) -> str:
    return _fernet(keys_for(PURPOSE)).encrypt(text.encode()).decode()


def unseal(token: str) -> str:
    """The sealed text. Raises cryptography.fernet.InvalidToken when neither SECRET_KEY nor a fallback sealed it."""
    return _fernet(keys_for(PURPOSE)).decrypt(token.encode()).decode()


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
