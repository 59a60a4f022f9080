"""Links with which a handler reports on one execution without holding an API key.

A link is signed with a key of the server's own and good for one purpose, one execution and a limited time. Nothing
is stored, and no change of an account's key or secret ends a link that is under way.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from cueapi.conf import conf
from cueapi.keyring import keys_for

KEY_PURPOSE = "cueapi report links v1"
OUTCOME = "outcome"
HEARTBEAT = "heartbeat"


@dataclass(frozen=True)
class ReportLinks:
    """Whoever has these may report on the execution, so they stay out of logs."""

    outcome_url: str = field(repr=False)
    heartbeat_url: str = field(repr=False)


def links_of(execution_id: UUID, *, now: datetime) -> ReportLinks:
    """The links that a delivery or a claim hands out; they end REPORT_LINK_HOURS from now."""
    expires = int((now + timedelta(hours=conf().report_link_hours)).timestamp())
    base = f"{conf().base_url}/v1/executions/{execution_id}"
    outcome, heartbeat = (_token(purpose, execution_id, expires) for purpose in (OUTCOME, HEARTBEAT))
    return ReportLinks(f"{base}/outcome?token={outcome}", f"{base}/heartbeat?token={heartbeat}")


def is_valid(token: str, purpose: str, execution_id: UUID, *, now: datetime) -> bool:
    """Whether this server made the token for this purpose and execution, and its time is not over."""
    expires, _, given = token.partition(".")
    if not (expires.isascii() and expires.isdecimal() and len(expires) < 12):
        return False
    signatures = [_signature(key, purpose, execution_id, int(expires)) for key in keys_for(KEY_PURPOSE)]
    genuine = any(hmac.compare_digest(signature.encode(), given.encode()) for signature in signatures)
    return genuine and now.timestamp() < int(expires)


def _token(purpose: str, execution_id: UUID, expires: int) -> str:
    return f"{expires}.{_signature(keys_for(KEY_PURPOSE)[0], purpose, execution_id, expires)}"


def _signature(key: bytes, purpose: str, execution_id: UUID, expires: int) -> str:
    message = f"{purpose}:{execution_id}:{expires}".encode()
    return base64.urlsafe_b64encode(hmac.new(key, message, hashlib.sha256).digest()).decode().rstrip("=")
