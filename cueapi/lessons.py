"""What each error teaches: where to look, what was expected there, and an example that would work.

One entry for each code that the API answers, and examples for the fields that callers send. The message of an error
says what was wrong this time; these say what is right every time. `/docs/errors` shows them all.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Lesson:
    """`where` is a place in the request (body., query., path., header.); None when it is not about one place."""

    title: str
    where: str | None
    expected: str
    example: Any


KEY = "Authorization: Bearer cue_sk_0123456789abcdef0123456789abcdef"
CONFIRM = "X-Confirm-Destructive: true"
RUN = "7d0b6a0e-0f3c-4c36-9a0e-1f6c0f5d7a55"

LESSONS: dict[str, Lesson] = {
    # What was sent
    "invalid_request": Lesson("Bad request", None, "a request that HTTP allows", "GET /v1/cues?limit=20"),
    "invalid_json": Lesson("Not JSON", "body", "one JSON value in UTF-8", '{"name": "nightly-digest"}'),
    "validation_error": Lesson("Invalid fields", "body", "the fields listed in details to be as described", None),
    "no_fields": Lesson("Nothing to change", "body", "at least one field to change", {"email": "ada@example.org"}),
    "request_too_large": Lesson(
        "Body too large", "header.Content-Length", "at most 1048576 bytes", {"payload": {"url": "https://…/data.json"}}
    ),
    "payload_too_large": Lesson("Body too large", "body", "at most 1000000 bytes", {"hello": "world"}),
    "confirmation_required": Lesson("Not confirmed", "header.X-Confirm-Destructive", "the value true", CONFIRM),
    "invalid_filter": Lesson(
        "Unknown filter", "query.alert_type", "one of the alert types", "GET /v1/alerts?alert_type=outcome_timeout"
    ),
    "invalid_status_in": Lesson(
        "Empty filter", "query.status__in", "a comma list of statuses", "GET /v1/executions?status__in=failed,missed"
    ),
    "conflicting_filters": Lesson(
        "Filters that conflict", "query.status", "status or status__in, not both", "GET /v1/executions?status=failed"
    ),
    # Cues
    "invalid_schedule": Lesson(
        "Invalid schedule",
        "body.schedule",
        "a cron that comes due, or a time in the future",
        {"type": "recurring", "cron": "0 9 * * MON-FRI", "timezone": "Europe/Paris"},
    ),
    "invalid_timezone": Lesson("Unknown time zone", "body.schedule.timezone", "an IANA name", "Europe/Paris"),
    "invalid_callback_url": Lesson(
        "URL not allowed", "body.callback.url", "an https URL of a public host", "https://hooks.example.org/digest"
    ),
    "invalid_alert_webhook_url": Lesson(
        "URL not allowed", "body.alert_webhook_url", "an https URL of a public host", "https://hooks.example.org/alerts"
    ),
    "invalid_payload": Lesson(
        "Invalid payload", "body.payload", "a JSON object that can be stored", {"task": "digest"}
    ),
    "invalid_payload_size": Lesson(
        "Payload too large", "body.payload", "at most 1048576 bytes of JSON", {"url": "https://…/data.json"}
    ),
    "payload_override_required": Lesson(
        "Payload needed", "body.payload_override", "an object", {"payload_override": {"order": 17}}
    ),
    "missing_required_payload_keys": Lesson(
        "Payload incomplete",
        "body.payload_override",
        "the keys that the cue's required_payload_keys names",
        {"payload_override": {"order": 17}},
    ),
    "metadata_too_large": Lesson("Metadata too large", "body.metadata", "at most 10240 bytes of JSON", {"rows": 12}),
    "duplicate_cue_name": Lesson(
        "Name taken", "body.name", "a name that no other cue of yours has", "nightly-digest-2"
    ),
    "cue_limit_exceeded": Lesson(
        "Cue limit reached", None, "fewer active and paused cues than your plan allows", "DELETE /v1/cues/{id}"
    ),
    "cue_not_found": Lesson("No such cue", "path.cue_id", "the id of a cue of yours", "cue_4k2m9x0c7b1d"),
    # Executions
    "execution_not_found": Lesson("No such execution", "path.execution_id", "the id of an execution of yours", RUN),
    "execution_in_flight": Lesson(
        "Not ended yet", "path.execution_id", "an execution that is success, failed, missed or outcome_timeout", RUN
    ),
    "not_a_dead_letter": Lesson(
        "Not a dead letter", "path.execution_id", "an execution that is failed, missed or outcome_timeout", RUN
    ),
    "execution_limit_exceeded": Lesson(
        "Month used up", None, "a month whose executions are not used up", "GET /v1/usage"
    ),
    "execution_not_claiming": Lesson(
        "Nobody is at work", "path.execution_id", "an execution whose status is delivering", RUN
    ),
    "claim_failed": Lesson(
        "Nothing to claim", None, "an execution that waits for a worker", {"worker_id": "host-1", "wait": 20}
    ),
    "not_execution_owner": Lesson(
        "Another worker's execution", "header.X-Worker-Id", "the worker that claimed it", "X-Worker-Id: host-1"
    ),
    "outcome_already_recorded": Lesson(
        "Reported before", None, "one outcome for each execution", f"PATCH /v1/executions/{RUN}/evidence"
    ),
    "no_outcome": Lesson("Not reported yet", None, "an outcome first", f"POST /v1/executions/{RUN}/outcome"),
    "invalid_state": Lesson(
        "Nothing to decide",
        None,
        "an outcome_state of reported_success, reported_failure or verification_pending",
        f"GET /v1/executions/{RUN}",
    ),
    "idempotency_key_conflict": Lesson(
        "Key used before", "header.Idempotency-Key", "a new key for a new call", "Idempotency-Key: order-18"
    ),
    "worker_not_found": Lesson("No such worker", "path.worker_id", "the id of a worker of yours", "GET /v1/workers"),
    "destination_not_found": Lesson(
        "No such destination", "path.destination_id", "the id of a destination of yours", "GET /v1/destinations"
    ),
    "alert_not_found": Lesson("No such alert", "path.alert_id", "the id of an alert of yours", "GET /v1/alerts"),
    # Who is calling
    "invalid_api_key": Lesson("No valid key", "header.Authorization", "a live API key", KEY),
    "key_rotated": Lesson("Key replaced", "header.Authorization", "the key that replaced this one", KEY),
    "key_revoked": Lesson("Key revoked", "header.Authorization", "a live API key", KEY),
    "invalid_session": Lesson("No valid session", "header.Authorization", "a session token or an API key", KEY),
    "session_expired": Lesson("Session over", "header.Authorization", "a token that has not expired", KEY),
    "user_not_found": Lesson("Account gone", "header.Authorization", "a token of an active account", KEY),
    "invalid_token": Lesson(
        "No valid token", None, "a token that was handed out, has not expired and was not used", None
    ),
    "last_key_protected": Lesson("Last key", "path.key_id", "another live key, made first", {"label": "replacement"}),
    "plaintext_unavailable": Lesson(
        "Key not kept", None, "a new key, shown once", f"POST /v1/auth/key/regenerate with {CONFIRM}"
    ),
    "duplicate_email": Lesson("Address taken", "body.email", "an address without an account", "grace@example.org"),
    "invalid_device_code": Lesson("Bad device code", "body.device_code", "6 to 128 characters", "ABCD-1234"),
    "device_code_exists": Lesson("Device code in use", "body.device_code", "a code of your own making", "EFGH-5678"),
    "device_code_not_found": Lesson("Unknown device code", "body.device_code", "a code that was started", "ABCD-1234"),
    "device_code_expired": Lesson(
        "Device code expired", "body.device_code", "a code younger than 15 minutes", "ABCD-1234"
    ),
    "invalid_status": Lesson("Mailed already", "body.device_code", "a code that waits for an address", "ABCD-1234"),
    "no_webhook_secret": Lesson("No secret", None, "a secret, made first", "POST /v1/auth/webhook-secret/regenerate"),
    # The rest
    "forbidden": Lesson("Not allowed", None, "a call that your account may make", "GET /v1/auth/me"),
    "not_found": Lesson("Nothing here", "path", "a path of /docs, without a slash at its end", "GET /v1/cues"),
    "method_not_allowed": Lesson("Wrong method", None, "one of the methods in the Allow header", "GET /v1/cues"),
    "conflict": Lesson("Conflict", None, "a request that fits the present state", None),
    "rate_limit_exceeded": Lesson(
        "Too many requests", None, "the seconds of Retry-After to pass first", "Retry-After: 12"
    ),
    "internal_error": Lesson("Our fault", None, "nothing of you; the log has the details", "X-Request-Id: …"),
    "database_unavailable": Lesson(
        "The database does not answer",
        None,
        "another try after the seconds in Retry-After",
        "Idempotency-Key: order-17",
    ),
    "service_unavailable": Lesson("Not available now", None, "another try in a moment", None),
    "session_unavailable": Lesson(
        "No sessions here", None, "an API key, or SESSION_SECRET in the server's environment", KEY
    ),
}

FREE = {"payload", "payload_override", "metadata", "assertions", "artifacts", "headers"}
"""Fields whose parts have the caller's own names."""

# By the field's name, and by the names of its parent and its own where the name alone would mislead.
FIELD_EXAMPLES: dict[str, Any] = {
    "name": "nightly-digest",
    "description": "Mails the digest",
    "schedule": {"type": "recurring", "cron": "*/5 * * * *", "timezone": "UTC"},
    "type": "recurring",
    "cron": "*/5 * * * *",
    "at": "2031-05-04T09:00:00Z",
    "timezone": "Europe/Paris",
    "every": "15m",
    "anchor": "2031-05-04T09:00:00Z",
    "starts_at": "2031-05-04T09:00:00Z",
    "ends_at": "2031-06-04T09:00:00Z",
    "max_runs": 100,
    "jitter_seconds": 30,
    "dst": "skip",
    "overlap": "queue",
    "transport": "webhook",
    "callback": {"url": "https://hooks.example.org/digest"},
    "url": "https://hooks.example.org/digest",
    "method": "POST",
    "headers": {"X-Team": "ops"},
    "payload": {"task": "digest"},
    "retry": {"max_attempts": 3, "backoff_minutes": [1, 5, 15]},
    "max_attempts": 3,
    "backoff_minutes": [1, 5, 15],
    "jitter": 0.2,
    "on_failure": {"email": True, "webhook": None, "pause": False},
    "on_failure.email": True,
    "email": "ada@example.org",
    "webhook": "https://hooks.example.org/failed",
    "pause": True,
    "verification": {"mode": "require_external_id"},
    "mode": "require_external_id",
    "required_assertions": ["mail_sent"],
    "delivery": {"timeout_seconds": 30, "outcome_deadline_seconds": 300},
    "timeout_seconds": 30,
    "outcome_deadline_seconds": 300,
    "alerts": {"consecutive_failures": 3, "missed_window_multiplier": 2},
    "consecutive_failures": 3,
    "missed_window_multiplier": 2,
    "grace_seconds": 600,
    "catch_up": "run_once_if_missed",
    "on_success_fire": "cue_4k2m9x0c7b1d",
    "require_payload_override": True,
    "required_payload_keys": ["order"],
    "status": "paused",
    "ids": ["cue_4k2m9x0c7b1d"],
    "payload_override": {"order": 17},
    "merge_strategy": "merge",
    "send_at": "2031-05-04T09:00:00Z",
    "exit_criteria": ["mail_sent"],
    "idempotency_key": "order-17",
    "Idempotency-Key": "order-17",
    "success": True,
    "result": "12 mails summarised",
    "error": "the mail server did not answer",
    "metadata": {"rows": 12},
    "external_id": "msg:88",
    "result_url": "https://example.org/digests/88",
    "result_ref": "digests/88",
    "result_type": "email",
    "summary": "12 mails",
    "artifacts": [{"name": "digest.pdf"}],
    "assertions": {"mail_sent": True},
    "valid": True,
    "reason": "the mail went to the wrong list",
    "worker_id": "host-1",
    "handlers": ["digest"],
    "task": "digest",
    "agent": "support",
    "wait": 20,
    "label": "nightly worker",
    "overlap_hours": 24,
    "device_code": "ABCD-1234",
    "token": "the token of the login",
    "rate_per_minute": 60,
    "alert_webhook_url": "https://hooks.example.org/alerts",
    "alert_email": False,
    "limit": 20,
    "offset": 0,
    "execution_limit": 10,
    "execution_offset": 0,
    "since": "2031-05-04T09:00:00Z",
    "acknowledged": "false",
    "alert_type": "outcome_timeout",
    "has_evidence": "true",
    "until": "2031-06-04T09:00:00Z",
    "error_class": "http_5xx",
    "replayed": "false",
    "handled": "false",
    "cue_id": "cue_4k2m9x0c7b1d",
    "execution_ids": [RUN],
    "include_replayed": True,
    "include_handled": True,
    "definition": "as_sent",
    "verdict": "missed",
    "count": 10,
    "dry_run": True,
    "from": "2031-05-04T09:00:00Z",
    "to": "2031-06-04T09:00:00Z",
    "action": "cue.paused",
    "actor_kind": "api_key",
    "subject_type": "cue",
    "query.at": "2031-05-04T09:00:00Z",
    "body": {"name": "nightly-digest"},
}


def of(code: str) -> Lesson:
    """The lesson of this code; every code has one."""
    return LESSONS.get(code, LESSONS["invalid_request"])


def example_for(field: str) -> Any:
    """What could stand in this field (`body.retry.max_attempts`), or in the nearest one around it that is known."""
    names = field.split(".")
    for end in range(_end_of_ours(names), 0, -1):
        for spelling in (".".join(names[max(end - 2, 0) : end]), names[end - 1]):
            if spelling in FIELD_EXAMPLES:
                return FIELD_EXAMPLES[spelling]
    return None


def _end_of_ours(names: list[str]) -> int:
    """How many of these names are ours: inside a payload, the caller gives the names."""
    return next((index + 1 for index, name in enumerate(names) if name in FREE), len(names))
