"""The audit trail: one entry for each change that somebody made, in the transaction of the change.

The services call `record`; the doors say once who acts, from where (`begin`, `note`), and each entry has it. What
nobody asked for is the system's, with the rule that made it. Design: docs/decisions/0018-the-audit-trail.md.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from cueapi.clock import rfc3339
from cueapi.logging import SECRET_NAMES, request_id
from cueapi.masking import MASK, masked_url
from cueapi.models import Account, ActorKind, ApiKey, AuditAction, AuditEvent, SubjectType

VALUE_MAX_CHARS = 2_000  # of one value as JSON; a longer one is told by its size and its digest
NAME_MAX_CHARS = 300
SECRETS = re.compile(r"(cue_sk_|whsec_|[Bb]earer )[A-Za-z0-9+/=._~-]{6,}")  # a key's prefix, which names it, is shorter
ADDRESS_MAX_CHARS = 64

Facts = Mapping[str, Any]


# --- Who acts ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Actor:
    """`label` is a key's first characters, an e-mail address, or why the system acted; `address` where from."""

    kind: ActorKind = ActorKind.SYSTEM
    label: str = ""
    address: str = ""


_acting: ContextVar[Actor] = ContextVar("acting", default=Actor())  # noqa: B039  frozen


@contextmanager
def begin(address: str) -> Iterator[None]:
    """A request from this address: until `note` says who, it is a visitor's, whom the system serves."""
    with _as(Actor(label="a visitor's request", address=address[:ADDRESS_MAX_CHARS])):
        yield


def note(kind: ActorKind, label: str) -> None:
    """Say who acts for the rest of the request, once that is known."""
    _acting.set(replace(_acting.get(), kind=kind, label=label))


def note_key(key: ApiKey) -> None:
    note(ActorKind.API_KEY, f"{key.prefix}…")


@contextmanager
def acting(kind: ActorKind, label: str) -> Iterator[None]:
    """Within the block it is them who act, whoever asked."""
    with _as(replace(_acting.get(), kind=kind, label=label)):
        yield


@contextmanager
def by_rule(reason: str) -> Iterator[None]:
    """Within the block the system acts, for this reason; who happened to set it off is not to blame."""
    with _as(Actor(label=reason)):
        yield


@contextmanager
def _as(actor: Actor) -> Iterator[None]:
    token = _acting.set(actor)
    try:
        yield
    finally:
        _acting.reset(token)


# --- What was changed -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Secret:
    """A value that may be compared but never shown."""

    value: object = field(repr=False)


@dataclass(frozen=True)
class Address:
    """A URL, shown without what may be a secret in it."""

    url: str = field(repr=False)


@dataclass(frozen=True)
class Subject:
    """What a change was made to, as it is called now; `account_id` is whose it is, None the server's own."""

    kind: SubjectType
    id: object
    name: str
    account_id: UUID | None


@dataclass(frozen=True)
class Change:
    """What was done to what. `before` and `after` may hold more than what differs: entries keep the difference."""

    action: AuditAction
    subject: Subject
    before: Facts = field(default_factory=dict)
    after: Facts = field(default_factory=dict)


def subject_of_account(account: Account) -> Subject:
    return Subject(SubjectType.ACCOUNT, account.pk, account.email, account.pk)


def record(*changes: Change, now: datetime) -> None:
    """Write one entry for each change, in one statement. Call in the transaction of the changes.

    Raises TransactionManagementError outside of one: a change must not last without its entry.
    """
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError("A change and its entry in the trail belong in one transaction.")
    if changes:
        AuditEvent.objects.bulk_create(list(_entries(changes, now=now)), batch_size=500)


def record_difference(change: Change, *, now: datetime) -> None:
    """The same for one change, unless nothing differs."""
    if differing(change.before, change.after):
        record(change, now=now)


def differing(before: Facts, after: Facts) -> list[str]:
    """The names of the facts that are not the same before and after, in their order."""
    names = dict.fromkeys([*before, *after])
    return [name for name in names if before.get(name) != after.get(name)]


def _entries(changes: Iterable[Change], *, now: datetime) -> Iterator[AuditEvent]:
    actor = _acting.get()
    for change in changes:
        names = differing(change.before, change.after)
        yield AuditEvent(
            account_id=change.subject.account_id,
            at=now,
            actor_kind=actor.kind,
            actor=actor.label[:254],
            address=actor.address,
            request_id=request_id.get() or "",
            action=change.action,
            subject_type=change.subject.kind,
            subject_id=str(change.subject.id),
            subject_name=_mask(change.subject.name)[:NAME_MAX_CHARS],
            before=_shown_part(change.before, names),
            after=_shown_part(change.after, names),
        )


def _shown_part(facts: Facts, names: Iterable[str]) -> dict[str, Any]:
    return {name: _bounded(shown(facts[name])) for name in names if name in facts}


def shown(value: Any) -> Any:
    """The value as JSON has it, with every secret in it masked."""
    if isinstance(value, Secret):
        return MASK if value.value else None
    if isinstance(value, Address):
        return masked_url(value.url)
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, Mapping):
        return {str(name): _shown_under(str(name), one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [shown(one) for one in value]
    if isinstance(value, bool | int | float | type(None)):
        return value
    return _mask(str(value))


def _mask(text: str) -> str:
    return SECRETS.sub(rf"\1{MASK}", text)


def _shown_under(name: str, value: Any) -> Any:
    is_secret = any(word in name.lower() for word in SECRET_NAMES)
    return MASK if is_secret and value else shown(value)


def _bounded(value: Any) -> Any:
    text = json.dumps(value, ensure_ascii=False)
    if len(text) <= VALUE_MAX_CHARS:
        return value
    return {"characters": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest()}
