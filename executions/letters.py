"""What a notification says: the mail or the signed call about a failed execution, an alert or a silent worker.

Reads and words only; `executions.notifications` sends (contract 6.7, 8.1 and 10).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cueapi import accounts, outbound
from cueapi.clock import rfc3339
from cueapi.conf import conf
from cueapi.signing import Secrets, canonical_json, signature_headers
from cues.models import Transport
from executions.models import Alert, Execution, Notification, Worker
from executions.states import Status

TIMEOUT_S = 10  # of a call, from connect to last byte
SUBJECT_MAX_CHARS = 200
ERROR_MAX_CHARS = 500


@dataclass(frozen=True)
class Letter:
    """A mail. Plain text, so there is nothing to escape; the subject is one line whatever things are called."""

    to: str
    subject: str
    text: str


def letter(notification: Notification, *, now: datetime) -> Letter:
    """The mail that this notification stands for."""
    if notification.execution is not None:
        subject, text = _of_failure(notification.execution)
    elif notification.alert is not None:
        subject, text = _of_alert(notification.alert)
    else:
        assert notification.worker is not None  # noqa: S101  a constraint holds it
        subject, text = _of_silence(notification.worker, now=now)
    return Letter(notification.account.email, " ".join(f"CueAPI: {subject}".split())[:SUBJECT_MAX_CHARS], text)


def _of_failure(execution: Execution) -> tuple[str, str]:
    cue = execution.cue
    return (
        f"{cue.name} failed",
        f"The cue “{cue.name}” ({cue.id}) ended as {execution.status}.\n\n"
        f"Execution: {execution.pk}\n"
        f"Due:       {rfc3339(execution.scheduled_for)}\n"
        f"Attempts:  {execution.attempts}\n"
        f"Error:     {_error(execution) or 'none was reported'}\n\n"
        f"See what was sent and what came back: {_page('execution', execution.pk)}\n",
    )


def _of_alert(alert: Alert) -> tuple[str, str]:
    return (
        alert.message,
        f"{alert.message}\n\n"
        f"Alert:     {alert.pk} ({alert.alert_type})\n"
        f"Cue:       {alert.cue_id or 'none'}\n"
        f"Execution: {alert.execution_id or 'none'}\n"
        f"At:        {rfc3339(alert.created_at)}\n\n"
        f"See it: {_page('alert', alert.pk)}\n"
        f"Acknowledge it with POST {conf().base_url}/v1/alerts/{alert.pk}/acknowledge\n"
        'For no more of these mails: PATCH /v1/auth/me with {"alert_email": false}\n',
    )


def _of_silence(worker: Worker, *, now: datetime) -> tuple[str, str]:
    waiting = Execution.objects.filter(
        account=worker.account_id, status=Status.PENDING, transport=Transport.WORKER, scheduled_for__lte=now
    ).count()
    minutes = max(0, round((now - worker.last_heartbeat_at).total_seconds() / 60))
    return (
        f"worker {worker.worker_id} is offline",
        f"The worker “{worker.worker_id}” has sent no heartbeat for {minutes} minutes.\n\n"
        f"Executions that wait for a worker: {waiting}\n\n"
        "Start it again, or forget it with DELETE /v1/workers/<its id>.\n",
    )


def call(notification: Notification, *, now: datetime) -> outbound.OutboundRequest | None:
    """The call that this notification stands for; None when there is no URL for it any more."""
    if notification.alert is not None:
        return _alert_call(notification.alert, now=now)
    if notification.execution is not None:
        return _failure_call(notification.execution, now=now)
    return None


def _failure_call(execution: Execution, *, now: datetime) -> outbound.OutboundRequest | None:
    cue = execution.cue
    if not cue.on_failure_webhook:
        return None
    body = canonical_json(failure_body(execution))
    secrets = accounts.signing_secrets(execution.account, now=now)
    named = {"X-CueAPI-Cue-Id": cue.id, "X-CueAPI-Execution-Id": str(execution.pk)}
    signed = signature_headers(secrets, f"{execution.pk}-failed", body, now=now)
    return _post(cue.on_failure_webhook, signed | named, body)


def _alert_call(alert: Alert, *, now: datetime) -> outbound.OutboundRequest | None:
    account = alert.account
    if not account.alert_webhook_url:
        return None
    body = canonical_json(alert_body(alert))
    signed = signature_headers(Secrets(accounts.alert_secret(account)), str(alert.pk), body, now=now)
    named = {
        "X-CueAPI-Alert-Signature": signed["X-CueAPI-Signature"],
        "X-CueAPI-Alert-Timestamp": signed["X-CueAPI-Timestamp"],
        "X-CueAPI-Alert-Id": str(alert.pk),
        "X-CueAPI-Alert-Type": alert.alert_type,
    }
    return _post(account.alert_webhook_url, signed | named, body)


def _post(url: str, headers: dict[str, str], body: bytes) -> outbound.OutboundRequest:
    headers = {"Content-Type": "application/json", "User-Agent": "CueAPI/1.0"} | headers
    return outbound.OutboundRequest("POST", url, headers, body, TIMEOUT_S)


def failure_body(execution: Execution) -> dict[str, Any]:
    cue = execution.cue
    return {
        "event": "cue.failed",
        "cue_id": cue.id,
        "cue_name": cue.name,
        "execution_id": str(execution.pk),
        "attempts": execution.attempts,
        "last_http_status": execution.http_status,
        "last_error": _error(execution),
        "failed_at": rfc3339(execution.closed_at),
        "dashboard_url": conf().base_url,
    }


def alert_body(alert: Alert) -> dict[str, Any]:
    return {
        "alert_id": str(alert.pk),
        "alert_type": alert.alert_type,
        "severity": alert.severity,
        "message": alert.message,
        "execution_id": str(alert.execution_id) if alert.execution_id else None,
        "cue_id": alert.cue_id,
        "created_at": rfc3339(alert.created_at),
        "metadata": alert.metadata,
    }


def _error(execution: Execution) -> str | None:
    text = execution.error_message or execution.outcome_error
    return text[:ERROR_MAX_CHARS] if text else None


def _page(model: str, pk: Any) -> str:
    return f"{conf().base_url}/admin/executions/{model}/{pk}/"
