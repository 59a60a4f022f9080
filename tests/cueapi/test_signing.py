"""Signatures that others can check: with the published recipe, and with any Standard Webhooks library."""

from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from cueapi import ids, signing
from cueapi.signing import Secrets

BODY = b'{"attempt": 1}'


def headers_of(secrets: Secrets, body: bytes = BODY) -> dict[str, str]:
    return signing.signature_headers(secrets, "7d0b6a0e", body, now=datetime.now(UTC))


def test_a_standard_webhooks_library_verifies_us_and_nothing_forged() -> None:
    secret = ids.webhook_secret()
    headers = headers_of(Secrets(secret))
    assert Webhook(secret).verify(BODY, headers) == {"attempt": 1}
    for forged in (BODY + b" ", b""):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(forged, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(ids.webhook_secret()).verify(BODY, headers)


def test_during_an_overlap_the_old_and_the_new_secret_verify() -> None:
    old, new = ids.webhook_secret(), ids.webhook_secret()
    headers = headers_of(Secrets(new, old))
    for secret in (old, new):
        Webhook(secret).verify(BODY, headers)
    stamp = headers["X-CueAPI-Timestamp"]
    assert headers["X-CueAPI-Signature"] == signing.signature(new, stamp, BODY)
    assert headers["X-CueAPI-Signature-Previous"] == signing.signature(old, stamp, BODY)


def test_without_an_overlap_there_is_one_signature_of_each_kind() -> None:
    headers = headers_of(Secrets(ids.webhook_secret()))
    assert "X-CueAPI-Signature-Previous" not in headers
    assert " " not in headers["webhook-signature"]


def test_the_alert_secret_serves_standard_webhooks_too() -> None:
    secret = ids.alert_secret()
    Webhook(secret).verify(BODY, headers_of(Secrets(secret)))


def test_the_secrets_are_not_shown() -> None:
    assert "whsec_" not in repr(Secrets(ids.webhook_secret(), ids.webhook_secret()))
