"""Creating, changing and deleting cues: every rule and default of contract 3, in the order it answers.

Checks that wait for DNS come before the transaction; what must hold under concurrency is checked again inside it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, OperationalError, transaction
from django.db.models import CharField, UUIDField

from cueapi import outbound
from cueapi.conf import conf
from cueapi.errors import (
    Conflict,
    CueLimitExceeded,
    InvalidCallbackUrl,
    NotFound,
    ValidationFailed,
)
from cueapi.models import Account
from cueapi.prepared import Instances, given
from cues import beat, changes, definition, history, lifecycle
from cues.models import (
    OPEN,
    Cue,
    CueStatus,
)

DELETE_TRIES = 5


@dataclass(frozen=True)
class Created:
    cue: Cue
    warning: str | None


class CueNotFound(NotFound):
    """No cue with that id. List yours with GET /v1/cues."""

    code = "cue_not_found"


def find(account: Account, cue_id: str) -> Cue:
    """The account's cue. Raises CueNotFound, for another account's too."""
    cue = _of_account.first(account=account.pk, id=cue_id[:64].replace("\x00", "\ufffd"))
    if cue is None:
        raise CueNotFound()
    cue.account = account
    return cue


_of_account = Instances(
    Cue, lambda: Cue.objects.filter(account=given("account", UUIDField()), pk=given("id", CharField()))
)


def create(account: Account, data: dict[str, Any], *, now: datetime) -> Created:
    """Store a new cue; `data` is a valid CueCreate. Raises the first failing check of contract 3.2."""
    cue = Cue(account=account, transport=data["transport"], created_at=now, updated_at=now)
    cue.is_lenient = (data.get("schedule") or {}).get("type") in definition.LENIENT_TYPES
    definition.set_plain_fields(cue, data)
    definition.refuse_rate_of_worker(cue)
    _refuse_unknown_target(cue, data)
    _refuse_taken_name_or_full_plan(cue)
    warnings = [_check_callback(data)]
    definition.set_callback(cue, data.get("callback") or {})
    definition.set_payload(cue, data.get("payload"))
    warnings.append(definition.set_schedule(cue, data.get("schedule") or {}, now=now))
    _check_on_failure(data)
    definition.set_on_failure(cue, data.get("on_failure") or {})
    lifecycle.watch_from(cue, now=now)
    with transaction.atomic():
        _lock(account)
        _refuse_taken_name_or_full_plan(cue)
        _save_new(cue)
        changes.created(cue, now=now)
        lifecycle.announce_if_due(cue.pk, cue.next_run, now=now)
    return Created(cue, " ".join(filter(None, warnings)) or None)


def update(account: Account, cue_id: str, data: dict[str, Any], *, now: datetime) -> Cue:
    """Change what `data` (a valid CuePatch) holds, as contract 3.5 says."""
    cue = find(account, cue_id)
    if not data:
        return cue
    _check_callback(data)
    _check_on_failure(data)
    try:
        with transaction.atomic():
            cue = _locked(account, cue_id)
            facts_were, next_run_was, before = cue.facts, cue.next_run, changes.facts(cue)
            _apply(cue, data, now=now)
            beat.sync(cue)
            cue.save()
            if cue.facts != facts_were:
                history.turn(cue, next_run_was=next_run_was, now=now)
            changes.updated(cue, before, now=now)
            lifecycle.announce_if_due(cue.pk, cue.next_run, now=now)
    except IntegrityError:
        raise _duplicate_name(cue) from None
    return cue


def _apply(cue: Cue, data: dict[str, Any], *, now: datetime) -> None:
    """Put the patch on the locked cue, so that nothing written meanwhile is lost."""
    was_open, watched = cue.status in OPEN, lifecycle.watched(cue)
    cue.updated_at = now
    definition.set_plain_fields(cue, data)
    definition.refuse_rate_of_worker(cue)
    if "name" in data:
        _refuse_taken_name(cue)
    _refuse_unknown_target(cue, data)
    definition.set_callback(cue, data.get("callback") or {})
    if data.get("payload") is not None:
        definition.set_payload(cue, data["payload"])
    definition.set_status_and_schedule(cue, data, now=now)
    if data.get("on_failure") is not None:
        definition.set_on_failure(cue, data["on_failure"])
    if lifecycle.watched(cue) != watched:
        lifecycle.watch_from(cue, now=now)
    if not was_open and cue.status == CueStatus.ACTIVE:
        _lock(cue.account)
        if _is_full(cue.account):
            raise _over_limit(cue.account)


def _locked(account: Account, cue_id: str) -> Cue:
    locked: Cue | None = Cue.objects.of(account).select_for_update(no_key=True).filter(pk=cue_id).first()
    if locked is None:
        raise CueNotFound()
    return locked


def delete(cue: Cue, *, now: datetime) -> bool:
    """Delete the cue with its executions and its periodic task; what is in flight ends without a record.

    False when somebody else deleted it first.
    """
    for tries in range(DELETE_TRIES - 1):
        try:
            return _delete(cue, hold=tries > 0, now=now)
        except (IntegrityError, OperationalError):
            continue  # it fired, or an attempt was recorded, between finding its rows and deleting them
    return _delete(cue, hold=True, now=now)


def _delete(cue: Cue, *, hold: bool, now: datetime) -> bool:
    """Delete once. `hold` keeps others from firing it meanwhile, at the risk of waiting in a circle with a sender."""
    with transaction.atomic():
        same = Cue.objects.filter(pk=cue.pk)
        found = (same.select_for_update() if hold else same).first()  # as it is at last, for the audit trail
        _, rows = same.delete()
        if found is None or not rows.get("cues.Cue"):
            return False
        changes.deleted(found, now=now)
    return True


def delete_if_there(account: Account, cue_id: str, *, now: datetime) -> bool:
    """Delete the account's cue; False when there is none with this id."""
    try:
        return delete(find(account, cue_id), now=now)
    except CueNotFound:
        return False


# --- Checks -----------------------------------------------------------------------------------------------------


def _refuse_taken_name(cue: Cue) -> None:
    if cue.is_lenient:
        return
    twins = Cue.objects.filter(account=cue.account_id, name=cue.name, is_lenient=False).exclude(pk=cue.pk)
    if twins.exists():
        raise _duplicate_name(cue)


def _duplicate_name(cue: Cue) -> Conflict:
    return Conflict(
        f"You have a cue named “{cue.name}”. Choose another name, or change that cue.",
        code="duplicate_cue_name",
    )


def _refuse_taken_name_or_full_plan(cue: Cue) -> None:
    """The name is told first, but looked at last: a twin that took the last place a moment ago has taken the name."""
    full = _is_full(cue.account)
    _refuse_taken_name(cue)
    if full:
        raise _over_limit(cue.account)


def _is_full(account: Account) -> bool:
    if conf().disable_quota_enforcement:
        return False
    return Cue.objects.of(account).open().count() >= account.active_cue_limit


def _over_limit(account: Account) -> CueLimitExceeded:
    return CueLimitExceeded(
        f"Your plan allows {account.active_cue_limit} active and paused cues and you have them all. "
        "Delete one, or ask the operator for a larger plan."
    )


def _refuse_unknown_target(cue: Cue, data: dict[str, Any]) -> None:
    target = data.get("on_success_fire")
    if not target:
        return
    if target == cue.pk or not Cue.objects.filter(account=cue.account_id, pk=target).exists():
        raise ValidationFailed.of("body.on_success_fire", "must be the id of another cue of yours")


def _lock(account: Account) -> None:
    """One create or re-activation at a time for an account, so that the limit holds."""
    Account.objects.select_for_update(no_key=True).get(pk=account.pk)


def _check_callback(data: dict[str, Any]) -> str | None:
    """The warning, if the callback's host does not resolve now. Raises InvalidCallbackUrl. Waits for DNS."""
    url = (data.get("callback") or {}).get("url")
    return outbound.check_url(url) if url else None


def _check_on_failure(data: dict[str, Any]) -> None:
    """Raises InvalidCallbackUrl for the failure webhook. Waits for DNS."""
    url = (data.get("on_failure") or {}).get("webhook")
    try:
        if url:
            outbound.check_url(url)
    except InvalidCallbackUrl as error:
        raise InvalidCallbackUrl(f"on_failure.webhook: {error.message}", where="body.on_failure.webhook") from error


def _save_new(cue: Cue) -> None:
    try:
        with transaction.atomic():
            beat.sync(cue)
            cue.save(force_insert=True)
            history.begin(cue, now=cue.created_at)
    except IntegrityError:
        raise _duplicate_name(cue) from None
