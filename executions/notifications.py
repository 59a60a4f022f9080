"""Sending mails and calls about failures, alerts and silent workers: each once, tried again when it fails.

Whoever causes one writes a `Notification` row in the transaction of the cause. It is claimed by a guarded UPDATE
before it is sent and falls due again if its sender dies, so a crash between sending and recording can repeat one, and
nothing can lose one.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from threading import BoundedSemaphore
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.mail import send_mail
from django.db.models import F, QuerySet

from cueapi import outbound
from cueapi.logging import about
from cueapi.queue import enqueue
from executions import letters
from executions.models import Notification, NotificationKind, NotificationState

log = logging.getLogger(__name__)

NOTIFY_TASK = "executions.notify"
BATCH = 10
TRIES_MAX = 3
SENDER_DEAD_AFTER = timedelta(seconds=60)
WAITS = (timedelta(seconds=10), timedelta(seconds=60))  # before the second and the third try
MAILS_PER_HOUR = 10  # for one account, about failures and about alerts each

# A receiver that hangs keeps a thread for as long as a call may take; most threads of a worker are for other work.
_free_to_call = BoundedSemaphore(4)


class Rejected(Exception):
    """The receiver of a call did not take it."""


def write(notifications: Sequence[Notification]) -> None:
    """Store new notifications, and have them sent once the transaction commits. Call in that of their cause."""
    made = Notification.objects.bulk_create(notifications)
    hand_out((notification.account_id, notification.pk) for notification in made)


def hand_out(due: Iterable[tuple[UUID, int]]) -> None:
    """Queue (account, notification) pairs, an account's apart from the others': its receiver may hang."""
    by_account: dict[UUID, list[int]] = defaultdict(list)
    for account_id, pk in due:
        by_account[account_id].append(pk)
    for pks in by_account.values():
        for start in range(0, len(pks), BATCH):
            enqueue(NOTIFY_TASK, queue="default", notification_ids=pks[start : start + BATCH])


def send_due(notifications: QuerySet[Notification], *, now: datetime) -> int:
    """Send those that are due by `now`; the number tried."""
    subjects = ("account", "execution__cue", "execution__account", "alert__account", "worker")
    due = notifications.filter(due_at__lte=now).select_related(*subjects).order_by("due_at", "pk")
    return sum(_send(notification, now=now) for notification in due)


def _send(notification: Notification, *, now: datetime) -> bool:
    with about(account=notification.account_id, execution=notification.execution_id):
        return _send_now(notification, now=now)


def _send_now(notification: Notification, *, now: datetime) -> bool:
    if notification.kind == NotificationKind.EMAIL:
        return _claim(notification, now=now) and _attempt(notification, now=now)
    if not _free_to_call.acquire(blocking=False):
        return False  # it stays due, and a sweep brings it back
    try:
        return _claim(notification, now=now) and _attempt(notification, now=now)
    finally:
        _free_to_call.release()


def _claim(notification: Notification, *, now: datetime) -> bool:
    same = Notification.objects.filter(pk=notification.pk, tries=notification.tries, due_at=notification.due_at)
    taken = same.update(state=NotificationState.SENDING, tries=F("tries") + 1, due_at=now + SENDER_DEAD_AFTER)
    notification.tries += 1
    return bool(taken)


def _attempt(notification: Notification, *, now: datetime) -> bool:
    """Send a claimed one, and write down what came of it."""
    if notification.tries > TRIES_MAX:
        return _settle(notification, state=NotificationState.FAILED, error="its sender stopped each time")
    is_mail = notification.kind == NotificationKind.EMAIL
    if is_mail and _is_over_limit(notification, now=now):
        return _settle(notification, state=NotificationState.SUPPRESSED, error="over the hourly limit of mails")
    try:
        sent = _mail(notification, now=now) if is_mail else _call(notification, now=now)
    except (outbound.SendError, Rejected, OSError) as error:
        return _try_again(notification, str(error), now=now)
    if not sent:
        return _settle(notification, state=NotificationState.SUPPRESSED, error="there is no URL for it any more")
    return _settle(notification, state=NotificationState.SENT, sent_at=now)


def _mail(notification: Notification, *, now: datetime) -> bool:
    letter = letters.letter(notification, now=now)
    send_mail(letter.subject, letter.text, settings.DEFAULT_FROM_EMAIL, [letter.to])
    return True


def _call(notification: Notification, *, now: datetime) -> bool:
    """Raises SendError, or Rejected for a status other than 2xx. False when there is nowhere to send it."""
    request = letters.call(notification, now=now)
    if request is None:
        return False
    reply = outbound.send(request)
    if not 200 <= reply.status <= 299:
        raise Rejected(f"The receiver answered {reply.status}.")
    return True


def _settle(notification: Notification, **columns: Any) -> bool:
    Notification.objects.filter(pk=notification.pk).update(due_at=None, **columns)
    return True


def _try_again(notification: Notification, error: str, *, now: datetime) -> bool:
    log.warning("notification.failed", extra={"notification": notification.pk, "error": error})
    error = error[: letters.ERROR_MAX_CHARS]
    if notification.tries >= TRIES_MAX:
        return _settle(notification, state=NotificationState.FAILED, error=error)
    due_at = now + WAITS[notification.tries - 1]
    Notification.objects.filter(pk=notification.pk).update(state=NotificationState.WAITING, due_at=due_at, error=error)
    return True


def _is_over_limit(notification: Notification, *, now: datetime) -> bool:
    """Whether the account had its mails of this sort for the hour: failures must not keep an alert from being mailed.

    Mails about a worker have a limit of their own, which their writer keeps: one an hour for each.
    """
    if notification.worker_id is not None:
        return False
    sent = Notification.objects.filter(
        account=notification.account_id,
        kind=NotificationKind.EMAIL,
        sent_at__gt=now - timedelta(hours=1),
        alert__isnull=notification.alert_id is None,
        worker=None,
    )
    return sent.count() >= MAILS_PER_HOUR
