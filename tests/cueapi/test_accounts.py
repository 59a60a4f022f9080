"""Accounts and their keys: one per address, replaced by one caller, changed by its owner."""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

from cueapi import accounts, clock, keys
from cueapi.errors import Conflict, Unauthorized, ValidationFailed
from cueapi.models import Account, ApiKey
from cueapi.signing import Secrets
from tests.support import make
from tests.support.api import Api
from tests.support.envelope import refused
from tests.support.make import NOW
from tests.support.together import at_once

pytestmark = [pytest.mark.django_db, pytest.mark.database]

racing = pytest.mark.django_db(transaction=True)


def register(anyone: Api, email: str) -> Any:
    return anyone.post("/v1/auth/register", {"email": email})


def key_of(api: Api) -> ApiKey:
    return ApiKey.objects.get(hash=keys.hash_key(str(api.key)))


# --- Registration -----------------------------------------------------------------------------------------------


def test_registering_answers_the_only_copy_of_the_key(anyone: Api) -> None:
    answer = register(anyone, "ada@example.org")
    assert answer.status_code == 201
    assert set(answer.json()) == {"api_key", "email"}
    me = Api(answer.json()["api_key"]).get("/v1/auth/me").json()
    assert me["email"] == answer.json()["email"] == "ada@example.org"
    assert answer.json()["api_key"].startswith(me["api_key_prefix"])
    assert (len(me["api_key_prefix"]), me["slug"], me["has_webhook_secret"]) == (12, "ada", True)


@pytest.mark.parametrize("again", ["ada@example.org", "ADA@example.org", "ada@EXAMPLE.ORG"])
def test_an_address_is_registered_once_in_any_case(anyone: Api, again: str) -> None:
    assert register(anyone, "ada@example.org").status_code == 201
    refused(register(anyone, again), 409, "duplicate_email")
    assert (Account.objects.count(), ApiKey.objects.count()) == (1, 1)


@racing
def test_of_two_registrations_at_once_one_wins() -> None:
    results = at_once([partial(accounts.register, "ada@example.org", now=clock.now())] * 2)
    assert sorted(type(result).__name__ for result in results) == ["Conflict", "tuple"]
    assert (Account.objects.count(), ApiKey.objects.count()) == (1, 1)


def test_two_addresses_with_one_local_part_get_two_slugs(anyone: Api) -> None:
    for domain in ("org", "com", "net"):
        assert register(anyone, f"Ada.L@example.{domain}").status_code == 201
    slugs = list(Account.objects.values_list("slug", flat=True))
    assert len(set(slugs)) == 3
    assert all(slug.startswith("ada-l") for slug in slugs)


def test_only_the_first_account_is_made_by_the_installation() -> None:
    made = accounts.bootstrap("you@localhost", now=clock.now())
    assert made is not None
    key, password = made
    account = keys.find(key, now=clock.now()).account
    assert account.is_superuser and account.is_staff and account.check_password(password)
    assert accounts.bootstrap("me@localhost", now=clock.now()) is None
    assert Account.objects.count() == 1


# --- Keys -------------------------------------------------------------------------------------------------------


def test_a_regenerated_key_replaces_the_one_that_asked(api: Api) -> None:
    answer = api.post("/v1/auth/key/regenerate", x_confirm_destructive="true")
    assert answer.status_code == 200
    assert answer.json()["previous_key_revoked"] is True
    assert Api(answer.json()["api_key"]).get("/v1/auth/me").json()["email"] == "ada@example.org"
    refused(api.post("/v1/auth/key/regenerate", x_confirm_destructive="true"), 401, "key_rotated")


@racing
def test_of_two_regenerations_at_once_one_wins(api: Api) -> None:
    key = key_of(api)
    results = at_once([partial(keys.regenerate, key, now=clock.now())] * 2)
    (plaintext,) = [result for result in results if isinstance(result, str)]
    (loser,) = [result for result in results if not isinstance(result, str)]
    assert isinstance(loser, Unauthorized) and loser.code == "key_rotated"
    assert ApiKey.objects.filter(replaced_at=None).get().hash == keys.hash_key(plaintext)


def test_the_new_key_keeps_the_label(api: Api) -> None:
    plaintext = keys.regenerate(key_of(api), now=clock.now())
    assert keys.find(plaintext, now=clock.now()).label == "default"


# --- Profile ----------------------------------------------------------------------------------------------------


def test_the_address_can_be_changed_and_not_to_a_taken_one(api: Api, stranger: Api) -> None:
    assert api.patch("/v1/auth/me", {"email": "lovelace@example.org"}).status_code == 200
    assert api.get("/v1/auth/me").json()["email"] == "lovelace@example.org"
    refused(api.patch("/v1/auth/me", {"email": "Mallory@example.org"}), 409, "duplicate_email")
    assert api.get("/v1/auth/me").json()["email"] == "lovelace@example.org"


def test_an_alert_url_brings_its_secret_and_can_be_cleared(api: Api) -> None:
    assert Account.objects.get().alert_webhook_secret == ""
    assert api.patch("/v1/auth/me", {"alert_webhook_url": "https://alerts.example.org/"}).status_code == 200
    secret = Account.objects.get().alert_webhook_secret
    assert len(secret) == 64
    assert api.get("/v1/auth/me").json()["alert_webhook_url"] == "https://alerts.example.org/"
    assert api.get("/v1/auth/alert-webhook-secret").json() == {"alert_webhook_secret": secret}
    assert api.patch("/v1/auth/me", {"alert_webhook_url": ""}).status_code == 200
    assert api.get("/v1/auth/me").json()["alert_webhook_url"] is None


@pytest.mark.parametrize("body", [{}, {"email": None}, {"alert_webhook_url": None}])
def test_a_profile_without_a_change_is_refused(api: Api, body: dict[str, Any]) -> None:
    refused(api.patch("/v1/auth/me", body), 422, "no_fields")


def test_the_services_say_the_same_without_a_door(api: Api) -> None:
    assert api.account is not None
    with pytest.raises(ValidationFailed):
        accounts.update_profile(api.account, email=None, alert_webhook_url=None, now=NOW)
    with pytest.raises(Conflict):
        accounts.register("ADA@example.org", now=clock.now())


# --- Rotation with an overlap -----------------------------------------------------------------------------------


def test_the_old_secret_signs_beside_the_new_one_until_the_overlap_is_over() -> None:
    account = make.account()
    old = account.webhook_secret
    new = accounts.regenerate_webhook_secret(account, overlap=timedelta(hours=2), now=NOW)
    account = Account.objects.get()
    almost = NOW + timedelta(hours=2, seconds=-1)
    assert accounts.signing_secrets(account, now=almost) == Secrets(new, old)
    assert accounts.signing_secrets(account, now=almost + timedelta(seconds=1)) == Secrets(new)


def test_without_an_overlap_the_old_secret_ends_at_once_even_amid_one() -> None:
    account = make.account()
    accounts.regenerate_webhook_secret(account, overlap=timedelta(hours=2), now=NOW)
    new = accounts.regenerate_webhook_secret(account, now=NOW)
    assert accounts.signing_secrets(Account.objects.get(), now=NOW) == Secrets(new)


def test_the_old_key_works_beside_the_new_one_until_the_overlap_is_over(api: Api) -> None:
    answer = api.post("/v1/auth/key/regenerate", {"overlap_hours": 2}, x_confirm_destructive="true").json()
    assert answer["previous_key_revoked"] is False
    until = datetime.fromisoformat(answer["previous_key_valid_until"])
    assert keys.find(str(api.key), now=until - timedelta(seconds=1)).account == api.account
    with pytest.raises(Unauthorized) as caught:
        keys.find(str(api.key), now=until)
    assert caught.value.code == "key_rotated"
    assert keys.find(answer["api_key"], now=until).account == api.account
    again = api.post("/v1/auth/key/regenerate", {"overlap_hours": 2}, x_confirm_destructive="true")
    assert again.json()["error"]["code"] == "key_rotated"


@pytest.mark.parametrize("hours", [-1, 169, "2", 1.5, None])
def test_a_wrong_overlap_rotates_nothing(api: Api, hours: Any) -> None:
    secret = api.get("/v1/auth/webhook-secret").json()
    for path in ("webhook-secret/regenerate", "webhook-secret", "key/regenerate"):
        answer = api.post(f"/v1/auth/{path}", {"overlap_hours": hours}, x_confirm_destructive="true")
        assert (answer.status_code, answer.json()["error"]["details"][0]["field"]) == (422, "body.overlap_hours")
    assert api.get("/v1/auth/webhook-secret").json() == secret


def test_a_domain_is_the_same_in_any_case_and_script(anyone: Api) -> None:
    assert register(anyone, "ada@bücher.example").status_code == 201
    refused(register(anyone, "ada@BÜCHER.example"), 409, "duplicate_email")


@pytest.mark.parametrize(
    ("method", "path", "typo"),
    [
        ("POST", "/v1/auth/webhook-secret/regenerate", {"overlap_hour": 24}),
        ("POST", "/v1/auth/key/regenerate", {"overlap_hour": 24}),
        ("PATCH", "/v1/auth/me", {"alert_webhok_url": "", "alert_email": False}),
    ],
)
def test_a_typo_does_not_pass_for_a_field_that_was_left_out(api: Api, method: str, path: str, typo: dict) -> None:
    before = Account.objects.values().get(), ApiKey.objects.values().get()
    error = refused(api.send(method, path, typo, x_confirm_destructive="true"), 422, "validation_error")
    assert next(iter(typo)) in error["message"]
    ApiKey.objects.update(last_used_at=before[1]["last_used_at"])
    assert (Account.objects.values().get(), ApiKey.objects.values().get()) == before


def test_a_rotation_sent_twice_under_one_key_keeps_the_secret_that_receivers_have(api: Api) -> None:
    first = api.get("/v1/auth/webhook-secret").json()["webhook_secret"]
    path, body = "/v1/auth/webhook-secret/regenerate", {"overlap_hours": 2}
    answers = [api.post(path, body, x_confirm_destructive="true", idempotency_key="k").json() for _ in range(2)]
    assert answers[0] == answers[1]
    secrets = accounts.signing_secrets(Account.objects.get(), now=clock.now())
    assert secrets == Secrets(answers[0]["webhook_secret"], first)
    second = api.post(path, body, x_confirm_destructive="true").json()["webhook_secret"]
    assert accounts.signing_secrets(Account.objects.get(), now=clock.now()) == Secrets(second, secrets.current)
