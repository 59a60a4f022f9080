"""Sending what a final failure causes: the mail and the webhook of contract 6.7, each once, retried when it fails.

A notification is claimed by a guarded UPDATE before it is sent and falls due again if its sender dies, so a crash
between sending and recording can repeat one, and nothing can lose one.
"""

import logging
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.mail import send_mail
from django.db.models import F, QuerySet

from cueapi import outbound
from cueapi.clock import rfc3339
from cueapi.conf import conf
from cueapi.signing import canonical_json, signature
from executions.models import Execution, Notification, NotificationKind, NotificationState

log = logging.getLogger(__name__)

TRIES_MAX = 3
TIMEOUT_S = 10
SENDER_DEAD_AFTER = timedelta(seconds=60)
WAITS = (timedelta(seconds=10), timedelta(seconds=60))  # before the second and the third try
MAILS_PER_HOUR = 10
ERROR_MAX_CHARS = 500


class Rejected(Exception):
    """The receiver of a failure webhook did not take it."""


def send_due(notifications: QuerySet[Notification], *, now: datetime) -> int:
    """Send those that are due by `now`; the number tried."""
    due = (
        notifications.filter(due_at__lte=now).select_related("execution__cue", "execution__account").order_by("due_at")
    )
    return sum(_send(notification, now=now) for notification in due)


def _send(notification: Notification, *, now: datetime) -> bool:
    if not _claim(notification, now=now):
        return False
    if notification.tries > TRIES_MAX:
        return _settle(notification, state=NotificationState.FAILED, error="its sender stopped each time")
    if notification.kind == NotificationKind.EMAIL and _mails_last_hour(notification, now) >= MAILS_PER_HOUR:
        return _settle(notification, state=NotificationState.SUPPRESSED, error="over the hourly limit of mails")
    send = send_failure_mail if notification.kind == NotificationKind.EMAIL else call_failure_webhook
    assert notification.execution is not None  # noqa: S101  the only subject so far
    try:
        send(notification.execution, now=now)
    except (outbound.SendError, Rejected, OSError) as error:
        return _try_again(notification, str(error), now=now)
    return _settle(notification, state=NotificationState.SENT, sent_at=now)


def _claim(notification: Notification, *, now: datetime) -> bool:
    same = Notification.objects.filter(pk=notification.pk, tries=notification.tries, due_at=notification.due_at)
    taken = same.update(state=NotificationState.SENDING, tries=F("tries") + 1, due_at=now + SENDER_DEAD_AFTER)
    notification.tries += 1
    return bool(taken)


def _settle(notification: Notification, **columns: Any) -> bool:
    Notification.objects.filter(pk=notification.pk).update(due_at=None, **columns)
    return True


def _try_again(notification: Notification, error: str, *, now: datetime) -> bool:
    log.warning("notification.failed", extra={"notification": notification.pk, "error": error})
    if notification.tries >= TRIES_MAX:
        return _settle(notification, state=NotificationState.FAILED, error=error[:ERROR_MAX_CHARS])
    Notification.objects.filter(pk=notification.pk).update(
        state=NotificationState.WAITING,
        due_at=now + WAITS[notification.tries - 1],
        error=error[:ERROR_MAX_CHARS],
    )
    return True


def _mails_last_hour(notification: Notification, now: datetime) -> int:
    return Notification.objects.filter(
        account=notification.account_id,
        kind=NotificationKind.EMAIL,
        sent_at__gt=now - timedelta(hours=1),
    ).count()


def send_failure_mail(execution: Execution, *, now: datetime) -> None:
    """Plain text, so there is nothing to escape; the subject is one line whatever the cue is called."""
    cue = execution.cue
    subject = " ".join(f"CueAPI: {cue.name} failed".split())[:200]
    text = (
        f"The cue “{cue.name}” ({cue.id}) ended as {execution.status}.\n\n"
        f"Execution: {execution.pk}\n"
        f"Due:       {rfc3339(execution.scheduled_for)}\n"
        f"Attempts:  {execution.attempts}\n"
        f"Error:     {_error(execution) or 'none was reported'}\n\n"
        f"See what was sent and what came back: {conf().base_url}/admin/executions/execution/{execution.pk}/\n"
    )
    send_mail(subject, text, settings.DEFAULT_FROM_EMAIL, [execution.account.email])


def call_failure_webhook(execution: Execution, *, now: datetime) -> None:
    """POST the failure, signed like a delivery. Raises SendError, or Rejected for a status other than 2xx."""
    cue = execution.cue
    if not cue.on_failure_webhook:
        return
    body = canonical_json(failure_body(execution))
    timestamp = str(int(now.timestamp()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "CueAPI/1.0",
        "X-CueAPI-Signature": signature(execution.account.webhook_secret, timestamp, body),
        "X-CueAPI-Timestamp": timestamp,
        "X-CueAPI-Cue-Id": cue.id,
        "X-CueAPI-Execution-Id": str(execution.pk),
    }
    request = outbound.OutboundRequest("POST", cue.on_failure_webhook, headers, body, TIMEOUT_S)
    reply = outbound.send(request)
    if not 200 <= reply.status <= 299:
        raise Rejected(f"The receiver answered {reply.status}.")


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


def _error(execution: Execution) -> str | None:
    text = execution.error_message or execution.outcome_error
    return text[:ERROR_MAX_CHARS] if text else None
