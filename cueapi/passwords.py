"""Passwords of the admin in the audit trail.

Django tells its password validators of each new password, whichever form or command set it. This one only listens.
"""

from typing import Any

from cueapi import accounts, clock
from cueapi.trail import Secret


class ListedInTheTrail:
    """For AUTH_PASSWORD_VALIDATORS."""

    def validate(self, password: str, user: Any = None) -> None:
        """Every password passes."""

    def get_help_text(self) -> str:
        return "The audit trail tells that the password was changed, and never the password."

    def password_changed(self, password: str, user: Any = None) -> None:
        accounts.record_update(user, {}, {"password": Secret(password)}, now=clock.now())
