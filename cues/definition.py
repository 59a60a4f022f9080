"""Putting what a caller sent on a cue: fields and their defaults, the payload, and what the schedule means.

Nothing here is saved and nothing is sent; `cues.services` does both.
"""

import json
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from cueapi import outbound
from cueapi.errors import InvalidPayload, InvalidSchedule, InvalidTimezone, ValidationFailed
from cues import lifecycle, schedule
from cues.models import (
    DEFAULT_MAX_ATTEMPTS,
    DEFAULT_OUTCOME_DEADLINE_S,
    DEFAULT_TIMEOUT_S,
    OPEN,
    Cue,
    CueStatus,
    ScheduleType,
    Transport,
    default_backoff,
)
from cues.timetable import Timetable

PAYLOAD_MAX_BYTES = 1_048_576
LENIENT_TYPES = ("one-time", "one_time")
RULES = {"dst": "dst", "max_runs": "max_runs", "jitter_seconds": "jitter_s", "overlap": "overlap"}
"""What callers call the choices of a recurring schedule, and the columns that hold them."""
RECURRING_ONLY = ("anchor", "starts_at", "ends_at", *RULES)


def set_plain_fields(cue: Cue, data: dict[str, Any]) -> None:
    """The fields without rules between them. Null clears some of them and leaves the others alone."""
    for name in ("description", "required_payload_keys"):
        if name in data:
            setattr(cue, name, data[name])
    for name in ("name", "catch_up", "require_payload_override"):
        if data.get(name) is not None:
            setattr(cue, name, data[name])
    if "on_success_fire" in data:
        cue.on_success_fire_id = data["on_success_fire"] or None
    if data.get("retry") is not None:
        cue.max_attempts = data["retry"].get("max_attempts", DEFAULT_MAX_ATTEMPTS)
        cue.backoff_minutes = data["retry"].get("backoff_minutes", default_backoff())
        cue.retry_jitter = data["retry"].get("jitter", 0.0)
    if "verification" in data:
        verification = data["verification"]
        cue.verification_mode = verification.get("mode", "none") if verification is not None else None
        cue.required_assertions = verification.get("required_assertions") if verification is not None else None
    _set_delivery_and_alerts(cue, data)


def _set_delivery_and_alerts(cue: Cue, data: dict[str, Any]) -> None:
    if "delivery" in data:
        _set_delivery(cue, data["delivery"])
    if "alerts" in data:
        part = data["alerts"]
        cue.alert_consecutive_failures = None if part is None else part.get("consecutive_failures", 3)
        cue.alert_missed_window_multiplier = None if part is None else part.get("missed_window_multiplier", 2)
        cue.alert_grace_s = None if part is None else part.get("grace_seconds")


def _set_delivery(cue: Cue, part: dict[str, Any] | None) -> None:
    """A part that names the rate alone leaves the times alone: they are what makes a cue two-phase."""
    cue.rate_per_minute = None if part is None else part.get("rate_per_minute")
    if part is not None and part.keys() == {"rate_per_minute"}:
        return
    cue.delivery_timeout_s = None if part is None else part.get("timeout_seconds", DEFAULT_TIMEOUT_S)
    cue.outcome_deadline_s = None if part is None else part.get("outcome_deadline_seconds", DEFAULT_OUTCOME_DEADLINE_S)


def refuse_rate_of_worker(cue: Cue) -> None:
    """Workers come for work at their own pace. Raises ValidationFailed."""
    if cue.rate_per_minute is not None and cue.transport != Transport.WEBHOOK:
        raise ValidationFailed.of(
            "body.delivery.rate_per_minute",
            "is for webhook cues; the workers of this one decide how often they claim. Leave it out.",
        )


def set_callback(cue: Cue, part: dict[str, Any]) -> None:
    """Merge the callback: a URL alone keeps method and headers."""
    if part.get("method"):
        cue.callback_method = part["method"]
    if part.get("headers") is not None:
        cue.callback_headers = part["headers"]
    if part.get("url"):
        cue.callback_url, cue.lane = part["url"], outbound.lane_of(part["url"])


def set_payload(cue: Cue, payload: dict[str, Any] | None) -> None:
    cue.payload = payload or {}
    check_payload_size(cue.payload)


def check_payload_size(payload: dict[str, Any], *, where: str | None = None) -> None:
    """Raises InvalidPayload over PAYLOAD_MAX_BYTES of compact UTF-8 JSON; `where` as in ApiError."""
    size = len(json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode())
    if size > PAYLOAD_MAX_BYTES:
        raise InvalidPayload(
            f"The payload is {size} bytes; {PAYLOAD_MAX_BYTES} are the most. Store the data and send its URL.",
            code="invalid_payload_size",
            where=where,
        )


def set_on_failure(cue: Cue, part: dict[str, Any]) -> None:
    cue.on_failure_email = part.get("email", True)
    cue.on_failure_pause = part.get("pause", False)
    cue.on_failure_webhook = part.get("webhook") or None


def set_schedule(cue: Cue, part: dict[str, Any], *, now: datetime) -> str | None:
    """Set the schedule and `next_run`. The warning, if a lenient one-shot was moved to now."""
    was = _timetable_in_force(cue)
    if part.get("timezone") is not None:
        cue.timezone = part["timezone"]
    zone = schedule.zone(cue.timezone)
    if _keeps_its_time(cue, part):
        return None
    if _type_of(cue, part) == ScheduleType.RECURRING:
        _set_recurring(cue, part, was, now=now)
        return None
    return _set_one_shot(cue, part, zone, now=now)


def _keeps_its_time(cue: Cue, part: dict[str, Any]) -> bool:
    """A patch of the zone alone: it must not run a one-shot that fired already a second time."""
    given = {name for name, value in part.items() if value is not None or name == "at"}
    return cue.status in OPEN and cue.at is not None and given <= {"timezone"}


def _type_of(cue: Cue, part: dict[str, Any]) -> ScheduleType:
    """What the schedule says it is; inferred from cron or at where it says nothing."""
    given = part.get("type")
    if given in LENIENT_TYPES or given == "once":
        return ScheduleType.ONCE
    if given == "recurring" or (given is None and (part.get("cron") or part.get("every"))):
        return ScheduleType.RECURRING
    if given is not None:
        raise InvalidSchedule(f"schedule.type “{given[:40]}” is not known: use recurring, once or one-time.")
    if part.get("at"):
        return ScheduleType.ONCE
    if cue.schedule_type:
        return ScheduleType(cue.schedule_type)
    raise InvalidSchedule('schedule is required, such as {"type": "recurring", "cron": "*/5 * * * *"}.')


def _timetable_in_force(cue: Cue) -> Timetable | None:
    """By which `next_run` was set; None for a cue that is not active, or whose schedule can no longer be read."""
    try:
        return cue.timetable if cue.next_run is not None else None
    except (InvalidSchedule, InvalidTimezone):
        return None


def _set_recurring(cue: Cue, part: dict[str, Any], was: Timetable | None, *, now: datetime) -> None:
    _set_rhythm(cue, part, now=now)
    _set_rules(cue, part)
    cue.is_lenient = False
    cue.schedule_type, cue.at = ScheduleType.RECURRING, None
    lifecycle.refuse_spent(cue)
    timetable = cue.timetable
    if timetable is not None and timetable != was:  # the same keeps a window that is due at this moment
        cue.next_run = schedule.first_due(timetable, max(now, cue.last_slot or now))


def _set_rhythm(cue: Cue, part: dict[str, Any], *, now: datetime) -> None:
    """A cron expression or an interval; what is not given stays."""
    cron, every = part.get("cron"), part.get("every")
    if cron and every:
        raise InvalidSchedule("schedule has both cron and every. Send one of them.")
    if cron:
        cue.cron, cue.every_s, cue.anchor = cron.strip(), None, None
    elif every:
        cue.cron, cue.every_s = "", schedule.parse_every(every)
    if not cue.cron and cue.every_s is None:
        raise InvalidSchedule(
            "schedule.cron is required for recurring, such as */5 * * * * for every 5 minutes; or every, such as 15m."
        )
    if part.get("anchor") is not None and cue.every_s is None:
        raise InvalidSchedule("schedule.anchor is where schedule.every counts from; a cron expression has none.")
    if cue.every_s is not None:
        given = _bound(cue, part, "anchor") or cue.anchor
        cue.anchor = given or _bound(cue, part, "starts_at") or now.replace(microsecond=0)


def _set_rules(cue: Cue, part: dict[str, Any]) -> None:
    """Bounds, limits and choices. Null goes back to the default; what is not given stays."""
    for name in ("starts_at", "ends_at"):
        if name in part:
            setattr(cue, name, _bound(cue, part, name))
    if cue.starts_at and cue.ends_at and cue.ends_at < cue.starts_at:
        raise InvalidSchedule("schedule.ends_at is before schedule.starts_at. Swap them, or leave one out.")
    for name, column in RULES.items():
        if name in part:
            setattr(cue, column, _default(column) if part[name] is None else part[name])


def _default(column: str) -> Any:
    return next(field for field in Cue._meta.fields if field.attname == column).get_default()


def _bound(cue: Cue, part: dict[str, Any], name: str) -> datetime | None:
    """The instant of a bound, read in the cue's zone when it has no offset of its own; an empty one is none."""
    if not part.get(name):
        return None
    try:
        return schedule.parse_at(part[name], schedule.zone(cue.timezone))
    except InvalidSchedule as error:
        raise InvalidSchedule(f"schedule.{name}: {error.message}") from None


def _set_one_shot(cue: Cue, part: dict[str, Any], zone: ZoneInfo, *, now: datetime) -> str | None:
    _refuse_rules(part)
    lenient = part["type"] in LENIENT_TYPES if part.get("type") else cue.is_lenient
    at, warning = _effective_at(cue, part, zone, lenient=lenient, now=now)
    _clear_recurrence(cue)
    cue.schedule_type, cue.at, cue.next_run = ScheduleType.ONCE, at, at
    return warning


def _refuse_rules(part: dict[str, Any]) -> None:
    for name in (*RECURRING_ONLY, "every"):
        if part.get(name) is not None:
            raise InvalidSchedule(f"schedule.{name} is for recurring schedules. Leave it out, or send cron or every.")


def _clear_recurrence(cue: Cue) -> None:
    for column in ("cron", "every_s", "anchor", "starts_at", "ends_at", *RULES.values()):
        setattr(cue, column, _default(column))


def _effective_at(
    cue: Cue, part: dict[str, Any], zone: ZoneInfo, *, lenient: bool, now: datetime
) -> tuple[datetime, str | None]:
    """When a one-shot runs, and the warning that its time was moved."""
    text = part.get("at")
    if not text and "at" not in part and cue.at is not None and cue.at > now:
        return cue.at, None  # a patch that leaves the time alone
    if not text and lenient:
        return now, None
    if not text:
        raise InvalidSchedule("schedule.at is required for once, such as 2031-05-04T09:00:00Z.")
    at = schedule.parse_at(text, zone)
    if at > now:
        return at, None
    if lenient:
        return now, f"schedule.at {text} is in the past: the cue runs now."
    raise InvalidSchedule(
        f"schedule.at {text} is in the past. Send a future time, or type one-time to run late ones at once."
    )


def set_status_and_schedule(cue: Cue, data: dict[str, Any], *, now: datetime) -> None:
    """The part of a patch that decides whether and when the cue runs."""
    new_schedule = bool(data.get("schedule"))
    status = data.get("status")
    finished = cue.status in (CueStatus.COMPLETED, CueStatus.FAILED)
    if finished and status == "active" and not new_schedule:
        raise InvalidSchedule(f"This cue is {cue.status}. Send a new schedule with the new status.")
    if finished and status == "paused":
        raise InvalidSchedule(f"This cue is {cue.status}; there is nothing to pause.")
    if new_schedule:
        set_schedule(cue, data["schedule"], now=now)
    keeps_its_time = not new_schedule or _keeps_its_time(cue, data["schedule"])
    if keeps_its_time and status == "active" and cue.status == CueStatus.PAUSED:
        cue.next_run = lifecycle.next_run_from(cue, now=now)
        cue.at = cue.at if cue.is_recurring else cue.next_run or cue.at
    if status is not None:
        cue.status = CueStatus(status)
    if cue.status != CueStatus.ACTIVE:
        cue.next_run = None
