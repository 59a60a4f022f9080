"""The first account, which is also the admin, and the file that remembers how to log in as it."""

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.db import transaction

from cueapi import accounts, keys
from cueapi.bootstrap import write_private
from cueapi.models import ApiKey

EMAIL = "you@localhost"
FILE_NAME = "first-login.txt"


@dataclass(frozen=True)
class FirstLogin:
    """How to come in: as the admin with the password, over the API with the key."""

    email: str
    api_key: str
    admin_password: str

    @property
    def key_works(self) -> bool:
        """False once the key was replaced or revoked."""
        live = ApiKey.objects.filter(replaced_at=None, revoked_at=None)
        return live.filter(hash=keys.hash_key(self.api_key)).exists()


def make_or_read(var_dir: Path, *, now: datetime) -> FirstLogin | None:
    """The login made now or at the first start; None when there are accounts but nobody kept their login."""
    path = var_dir / FILE_NAME
    # The file is written before the commit: an account whose key nobody saw would be of no use.
    with transaction.atomic():
        made = accounts.bootstrap(EMAIL, now=now)
        if made:
            login = FirstLogin(EMAIL, *made)
            write_private(path, _as_text(login))
            return login
    return _from_text(path.read_text()) if os.access(path, os.R_OK) else None


def _as_text(login: FirstLogin) -> str:
    return (
        f"EMAIL={login.email}\n"
        f"API_KEY={login.api_key}\n"
        f"ADMIN_PASSWORD={login.admin_password}\n"
        "# As made at the first start. Delete this file once you keep them elsewhere.\n"
    )


def _from_text(text: str) -> FirstLogin | None:
    lines = (line.partition("=") for line in text.splitlines())
    values = {name: value for name, _, value in lines}
    try:
        return FirstLogin(values["EMAIL"], values["API_KEY"], values["ADMIN_PASSWORD"])
    except KeyError:
        return None
