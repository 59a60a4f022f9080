"""Doors: an account's settings, as a page: its address, its alerts, the secrets that sign what it receives."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils.cache import add_never_cache_headers

from cueapi import accounts, clock
from cueapi.models import Account
from cueapi.pages import account_of, act, answers, page, see_other, signed_in

PATH = "/settings"
OVERLAP = timedelta(hours=24)  # how long the secret before it signs too, so that no receiver refuses a delivery

Secret = Callable[[Account], str]
SHOWN: dict[str, Secret] = {"webhook": lambda account: account.webhook_secret, "alert": accounts.alert_secret}


class ProfileForm(forms.Form):
    email = forms.EmailField(max_length=254)
    alert_webhook_url = forms.CharField(max_length=2000, required=False)
    alert_email = forms.BooleanField(required=False)


@answers("GET")
@signed_in
def settings_page(request: HttpRequest) -> HttpResponse:
    return _show(request)


@answers("POST")
@signed_in
def save_settings(request: HttpRequest) -> HttpResponse:
    form = ProfileForm(request.POST)
    if not form.is_valid():
        wrong = ", ".join(name.replace("_", " ") for name in form.errors)
        messages.error(request, f"Nothing was changed. Look at: {wrong}.")
        return see_other(PATH)
    said: dict[str, Any] = form.cleaned_data
    act(
        request,
        lambda: accounts.update_profile(account_of(request), **said, now=clock.now()),
        "Your settings are saved.",
    )
    return see_other(PATH)


@answers("POST")
@signed_in
def show_secret(request: HttpRequest, which: str) -> HttpResponse:
    """A secret, in this one answer, which nothing keeps."""
    secret = SHOWN.get(which)
    return _show(request, **{f"{which}_secret": secret(account_of(request))}) if secret else see_other(PATH)


@answers("POST")
@signed_in
def replace_secret(request: HttpRequest, which: str) -> HttpResponse:
    """A new secret. The webhooks' one before it signs too for OVERLAP."""
    account, now = account_of(request), clock.now()
    if which == "webhook":
        messages.success(request, _replace_webhook_secret(account, now=now))
    elif which == "alert":
        accounts.regenerate_alert_secret(account, now=now)
        messages.success(request, "Alert calls are signed with a new secret from now on. Show it, and give it to them.")
    return see_other(PATH)


def _replace_webhook_secret(account: Account, *, now: datetime) -> str:
    accounts.regenerate_webhook_secret(account, overlap=OVERLAP, now=now)
    hours = OVERLAP // timedelta(hours=1)
    return f"Deliveries are signed with a new secret from now on, and for {hours} hours with the old one as well."


def _show(request: HttpRequest, **secrets: str) -> HttpResponse:
    now, account = clock.now(), account_of(request)
    until = account.previous_webhook_secret_until
    facts: dict[str, Any] = {"account": account, "old_secret_until": until if until and until > now else None}
    response = page(request, "cueapi/account/settings.html", **facts | secrets)
    add_never_cache_headers(response)
    return response
