"""Signing in to our own pages: with a mailed link that works once within 15 minutes, or with an API key.

The link holds, signed, the address and when its account last signed in; signing in changes that, which uses it up.
Neither way opens the admin, which asks for its password: a key that leaks must not hand over the server.
"""

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth import login
from django.contrib.auth.signals import user_logged_in
from django.core import signing
from django.dispatch import receiver
from django.http import HttpRequest

from cueapi import accounts, keys, mail, trail
from cueapi.clock import rfc3339
from cueapi.conf import conf
from cueapi.middleware import WITHOUT_PASSWORD
from cueapi.models import Account, ActorKind

LIFETIME = timedelta(minutes=15)
SALT = "cueapi.sign-in"
BACKEND = "django.contrib.auth.backends.ModelBackend"


class LinkRefused(Exception):
    """A link that signs nobody in; the text says why and what to do."""


def send_link(email: str, *, next_path: str) -> None:
    """Mail a link to who may sign in with this address; the caller learns nothing of who has an account here."""
    account = accounts.of_address(email)
    if account is None and not accounts.may_register():
        return
    if account is None or account.is_active:
        token = signing.dumps({"email": email, "seen": _seen(account)}, salt=SALT)
        query = urlencode({"token": token, "next": next_path})
        mail.send_link_later(email, "", f"{conf().base_url}/login/link?{query}")


def address_in(token: str) -> str:
    """The address that this link would sign in. Raises LinkRefused."""
    return _open(token)[0]


def enter_by_link(request: HttpRequest, token: str, *, now: datetime) -> Account:
    """Sign the browser in, once; a new address gets its account. Raises LinkRefused."""
    email, account = _open(token)
    trail.note(ActorKind.SESSION, email)
    account = account or accounts.find_or_open(email, now=now)
    unused = Account.objects.filter(pk=account.pk, is_active=True, last_login=account.last_login)
    if not unused.update(last_login=now):
        raise _used()
    _enter(request, account)
    return account


def enter_by_key(request: HttpRequest, plaintext: str, *, now: datetime) -> Account:
    """Sign the browser in as the key's account. Raises Unauthorized."""
    account = keys.find(plaintext, now=now).account
    _enter(request, account)
    return account


def _enter(request: HttpRequest, account: Account) -> None:
    login(request, account, backend=BACKEND)
    request.session[WITHOUT_PASSWORD] = True


@receiver(user_logged_in)
def _forget_how(sender: Any, request: Any, **kwargs: Any) -> None:
    """Who signs in again in the same session, now with the password, has all that it gives."""
    request.session.pop(WITHOUT_PASSWORD, None)


def _open(token: str) -> tuple[str, Account | None]:
    try:
        said = signing.loads(token, salt=SALT, max_age=LIFETIME)
    except signing.SignatureExpired:
        raise LinkRefused("This link has expired. Ask for a new one.") from None
    except signing.BadSignature:
        raise LinkRefused("This is not a sign-in link of this server. Open it exactly as it was mailed.") from None
    account = accounts.of_address(said["email"])
    if _seen(account) != said["seen"]:
        raise _used()
    if account is None and not accounts.may_register():
        raise LinkRefused("There is no account with this address, and registration is switched off on this server.")
    if account is not None and not account.is_active:
        raise LinkRefused("The account with this address is switched off. Ask the operator of this server.")
    return said["email"], account


def _seen(account: Account | None) -> str | None:
    return rfc3339(account.last_login) if account else None


def _used() -> LinkRefused:
    return LinkRefused("This link was used already, or a newer sign-in took its place. Ask for a new one.")
