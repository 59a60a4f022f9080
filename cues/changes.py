"""Changes of cues as the audit trail tells them: the facts that people set, under the names that the API has for them.

What firing moves (`next_run`, counts, the latest slot) is not among them.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cueapi import trail
from cueapi.models import AuditAction, SubjectType
from cueapi.trail import Address, Change, Facts, Secret, Subject
from cues.models import Cue, CueStatus

NAMES: Mapping[str, str] = {
    "name": "name",
    "description": "description",
    "status": "status",
    "schedule_type": "schedule.type",
    "cron": "schedule.cron",
    "every_s": "schedule.every_seconds",
    "anchor": "schedule.anchor",
    "at": "schedule.at",
    "timezone": "schedule.timezone",
    "dst": "schedule.dst",
    "starts_at": "schedule.starts_at",
    "ends_at": "schedule.ends_at",
    "max_runs": "schedule.max_runs",
    "jitter_s": "schedule.jitter_seconds",
    "overlap": "schedule.overlap",
    "catch_up": "catch_up",
    "transport": "transport",
    "callback_url": "callback.url",
    "callback_method": "callback.method",
    "callback_headers": "callback.headers",
    "payload": "payload",
    "max_attempts": "retry.max_attempts",
    "backoff_minutes": "retry.backoff_minutes",
    "retry_jitter": "retry.jitter",
    "on_failure_email": "on_failure.email",
    "on_failure_webhook": "on_failure.webhook",
    "on_failure_pause": "on_failure.pause",
    "delivery_timeout_s": "delivery.timeout_seconds",
    "outcome_deadline_s": "delivery.outcome_deadline_seconds",
    "rate_per_minute": "delivery.rate_per_minute",
    "alert_consecutive_failures": "alerts.consecutive_failures",
    "alert_missed_window_multiplier": "alerts.missed_window_multiplier",
    "alert_grace_s": "alerts.grace_seconds",
    "verification_mode": "verification.mode",
    "required_assertions": "verification.required_assertions",
    "on_success_fire_id": "on_success_fire",
    "require_payload_override": "require_payload_override",
    "required_payload_keys": "required_payload_keys",
}
ADDRESSES = ("callback.url", "on_failure.webhook")
UNSET: tuple[object, ...] = (None, "", {}, [])
SWITCHES = {CueStatus.PAUSED: AuditAction.CUE_PAUSED, CueStatus.ACTIVE: AuditAction.CUE_RESUMED}


def facts(cue: Cue) -> dict[str, Any]:
    """What people set on the cue, as it is now. Header values and secrets in addresses compare, but are not shown."""
    found = {name: getattr(cue, column) for column, name in NAMES.items()}
    headers = found["callback.headers"] or {}
    found["callback.headers"] = {name: Secret(value) for name, value in headers.items()}
    return found | {name: Address(found[name]) for name in ADDRESSES if found[name]}


def created(cue: Cue, *, now: datetime) -> None:
    trail.record(Change(AuditAction.CUE_CREATED, _subject(cue), after=_set(facts(cue))), now=now)


def updated(cue: Cue, before: Facts, *, now: datetime) -> None:
    """Nothing where nothing differs. A switch alone is told as a pause or a resumption."""
    after = facts(cue)
    trail.record_difference(Change(_action(before, after), _subject(cue), before, after), now=now)


def deleted(cue: Cue, *, now: datetime) -> None:
    trail.record(Change(AuditAction.CUE_DELETED, _subject(cue), before=_set(facts(cue))), now=now)


def paused(cues: list[Cue], *, now: datetime) -> None:
    """These were active."""
    before, after = {"status": CueStatus.ACTIVE}, {"status": CueStatus.PAUSED}
    trail.record(*(Change(AuditAction.CUE_PAUSED, _subject(cue), before, after) for cue in cues), now=now)


def _action(before: Facts, after: Facts) -> AuditAction:
    names = set(trail.differing(before, after))
    is_open = before["status"] in SWITCHES and after["status"] in SWITCHES
    if is_open and "status" in names and names <= {"status", "schedule.at"}:
        return SWITCHES[CueStatus(after["status"])]
    return AuditAction.CUE_UPDATED


def _set(all_facts: Facts) -> dict[str, Any]:
    return {name: value for name, value in all_facts.items() if value not in UNSET}


def _subject(cue: Cue) -> Subject:
    return Subject(SubjectType.CUE, cue.pk, cue.name, cue.account_id)
