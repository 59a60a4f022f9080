"""Secrets at rest: the database holds nothing that a thief of it could use."""

import pytest
from cryptography.fernet import InvalidToken
from django.conf import LazySettings
from django.db import connection

from cueapi import vault
from cueapi.models import Account
from cues.models import Cue
from tests.support.api import Api


def raw(table: str, column: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM {table}")
        (row,) = cursor.fetchall()
    return str(row[0])


def test_what_is_sealed_can_be_opened() -> None:
    assert vault.unseal(vault.seal("whsec_☃")) == "whsec_☃"


def test_the_same_secret_is_never_sealed_alike() -> None:
    assert vault.seal("whsec") != vault.seal("whsec")


def test_another_secret_key_opens_nothing(settings: LazySettings) -> None:
    token = vault.seal("whsec")
    settings.SECRET_KEY = "another" * 8
    with pytest.raises(InvalidToken):
        vault.unseal(token)


def test_an_earlier_secret_key_opens_what_it_sealed_as_long_as_it_is_listed(settings: LazySettings) -> None:
    earlier, token = settings.SECRET_KEY, vault.seal("whsec")
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another" * 8, [earlier]
    assert vault.unseal(token) == "whsec"
    renewed = vault.seal("whsec")
    settings.SECRET_KEY_FALLBACKS = []
    assert vault.unseal(renewed) == "whsec"


def test_a_changed_token_opens_nothing() -> None:
    token = vault.seal("whsec")
    with pytest.raises(InvalidToken):
        vault.unseal(token[:-2] + ("AA" if token[-2:] != "AA" else "BB"))


@pytest.mark.django_db
@pytest.mark.database
def test_the_signing_secrets_are_sealed_in_their_rows(api: Api) -> None:
    signing = api.get("/v1/auth/webhook-secret").json()["webhook_secret"]
    alert = api.get("/v1/auth/alert-webhook-secret").json()["alert_webhook_secret"]
    for column, secret in (("webhook_secret", signing), ("alert_webhook_secret", alert)):
        stored = raw(Account._meta.db_table, column)
        assert secret not in stored and secret.removeprefix("whsec_") not in stored
        assert vault.unseal(stored) == secret


@pytest.mark.django_db
@pytest.mark.database
def test_the_callback_s_headers_are_sealed_in_their_row(api: Api) -> None:
    callback = {"url": "https://hooks.example.org/", "headers": {"Authorization": "Bearer the-receivers-own"}}
    cue = api.post("/v1/cues", {"name": "sealed", "cron": "0 9 * * *", "callback": callback}).json()
    assert cue["callback"]["headers"] == callback["headers"]
    stored = raw(Cue._meta.db_table, "callback_headers")
    assert "the-receivers-own" not in stored and "Authorization" not in stored
    assert "the-receivers-own" in vault.unseal(stored)


@pytest.mark.django_db
@pytest.mark.database
def test_no_secret_stays_the_empty_string(api: Api) -> None:
    assert raw(Account._meta.db_table, "alert_webhook_secret") == ""
    assert Account.objects.get().alert_webhook_secret == ""
