"""Mails about the account itself, sent by a background job; a failure never reaches the API."""

from datetime import datetime

from django.conf import settings
from django.core.mail import send_mail

from cueapi.clock import rfc3339
from cueapi.models import Account
from cueapi.queue import enqueue

NOTICES = {
    "key_replaced": (
        "Your CueAPI key was replaced",
        "An API key of {email} was replaced at {at}. The old key no longer works.\n\n"
        "If this was not you, someone has your key: replace it again and look through your cues.\n",
    ),
    "secret_replaced": (
        "Your CueAPI webhook secret was replaced",
        "The webhook secret of {email} was replaced at {at}. Deliveries are signed with the new one from now on.\n\n"
        "If this was not you, someone has your API key: replace both.\n",
    ),
}


def send_later(notice: str, account: Account, *, now: datetime) -> None:
    """Queue one of NOTICES once the transaction commits."""
    enqueue("cueapi.send_notice", queue="default", notice=notice, account_id=str(account.pk), at=rfc3339(now))


def send_notice(notice: str, account: Account, at: str) -> None:
    subject, text = NOTICES[notice]
    send_mail(subject, text.format(email=account.email, at=at), settings.DEFAULT_FROM_EMAIL, [account.email])
