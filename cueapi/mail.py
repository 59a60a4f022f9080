"""Mails about the account itself, sent by a background job; a failure never reaches the API."""

import logging
import re
from datetime import datetime

from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction

from cueapi.clock import rfc3339
from cueapi.conf import conf
from cueapi.models import Account
from cueapi.queue import enqueue, publish
from cueapi.vault import seal

log = logging.getLogger(__name__)

LINK_EXPIRES_S = 900  # a sign-in link that is mailed later than this is of no use
PLAIN_CODE = re.compile(r"[A-Za-z0-9-]{6,32}")

SIGN_IN_SUBJECT = "Sign in to CueAPI"
SIGN_IN_TEXT = """Somebody, probably you, asked to sign in to CueAPI as {email} from {device}.

Open this link within 15 minutes to give that device a key to your account. It works once:

{link}

If you did not ask for this, do not open the link, and nothing happens.
"""

PAGE_TEXT = """Somebody, probably you, asked to sign in to CueAPI as {email} in a browser.

Open this link within 15 minutes, in the browser that you want to sign in. It works once:

{link}

If you did not ask for this, do not open the link, and nothing happens.
"""

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
    "limit_reached": (
        "Your CueAPI monthly execution limit is reached",
        "{email} used all the executions of its plan for this month, at {at}. Everything runs on for 24 hours; after "
        "that, until the next month (UTC), new attempts are refused and their executions fail.\n\n"
        "Ask the operator for a larger plan, or pause what can wait.\n",
    ),
}


def send_later(notice: str, account: Account, *, now: datetime) -> None:
    """Queue one of NOTICES once the transaction commits."""
    enqueue("cueapi.send_notice", queue="default", notice=notice, account_id=str(account.pk), at=rfc3339(now))


def send_notice(notice: str, account: Account, at: str) -> None:
    subject, text = NOTICES[notice]
    send_mail(subject, text.format(email=account.email, at=at), settings.DEFAULT_FROM_EMAIL, [account.email])


def send_link_later(email: str, code: str, link: str) -> None:
    """Send the sign-in link once the transaction commits; without a mail server, write it to the log.

    `code` is that of the device which signs in; empty for a browser.
    """
    transaction.on_commit(lambda: _send_or_show_link(email, code, link))


def _send_or_show_link(email: str, code: str, link: str) -> None:
    """The row keeps only the link's hash, so no sweep could send it again: without a broker, it is sent right here."""
    if not conf().email_url:
        log.warning("login.link_not_mailed", extra={"why": "EMAIL_URL is not set", "email": email, "open": link})
        return
    # Sealed, the link is readable to this server's processes only, not to whoever can look into the broker.
    letter = {"email": email, "code": code, "sealed_link": seal(link)}
    if not publish("cueapi.send_link", queue="default", kwargs=letter, expires_s=LINK_EXPIRES_S):
        _try_to_send_link(email, code, link)


def _try_to_send_link(email: str, code: str, link: str) -> None:
    try:
        send_link(email, code, link)
    except OSError as error:
        log.error("login.mail_failed", extra={"email": email, "error": str(error)})


def send_link(email: str, code: str, link: str) -> None:
    """Mail the sign-in link. Raises OSError when the mail server does not take it."""
    if not code:
        send_mail(SIGN_IN_SUBJECT, PAGE_TEXT.format(email=email, link=link), settings.DEFAULT_FROM_EMAIL, [email])
        return
    # Anyone may begin a login with any code and any address, so a code that could carry a message is left out.
    device = f"the device that shows the code {code}" if PLAIN_CODE.fullmatch(code) else "a device"
    text = SIGN_IN_TEXT.format(email=email, device=device, link=link)
    send_mail(SIGN_IN_SUBJECT, text, settings.DEFAULT_FROM_EMAIL, [email])
