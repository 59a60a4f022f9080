"""Who a key lets in, and what the reason is when it lets nobody in."""

from datetime import timedelta

import pytest
from django.db import connection

from cueapi import clock, keys
from cueapi.models import ApiKey
from tests.support.api import Api
from tests.support.envelope import refused

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def regenerated(api: Api) -> Api:
    """The API with the key that replaces that of `api`."""
    answer = api.post("/v1/auth/key/regenerate", x_confirm_destructive="true")
    assert answer.status_code == 200, answer.content
    return Api(answer.json()["api_key"], api.account)


def every_text_in_the_database() -> str:
    """All of every table, as the database itself holds it."""
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
        found = []
        for table in tables:
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            found += [str(value) for row in cursor.fetchall() for value in row]
    return "\n".join(found)


def test_a_key_opens_its_own_account(api: Api, stranger: Api) -> None:
    assert api.get("/v1/auth/me").json()["email"] == "ada@example.org"
    assert stranger.get("/v1/auth/me").json()["email"] == "mallory@example.org"


def test_a_replaced_key_says_so_for_a_day_and_is_then_unknown(api: Api) -> None:
    fresh = regenerated(api)
    assert fresh.get("/v1/auth/me").status_code == 200
    refused(api.get("/v1/auth/me"), 401, "key_rotated")
    replaced = ApiKey.objects.filter(hash=keys.hash_key(str(api.key)))
    replaced.update(replaced_at=clock.now() - timedelta(hours=23, minutes=59))
    refused(api.get("/v1/auth/me"), 401, "key_rotated")
    replaced.update(replaced_at=clock.now() - timedelta(hours=24))
    refused(api.get("/v1/auth/me"), 401, "invalid_api_key")
    assert fresh.get("/v1/auth/me").status_code == 200


def test_a_revoked_key_is_refused_at_once(api: Api) -> None:
    assert api.get("/v1/auth/me").status_code == 200
    ApiKey.objects.filter(account=api.account).update(revoked_at=clock.now())
    refused(api.get("/v1/auth/me"), 401, "key_revoked")


def test_an_inactive_account_s_key_is_unknown(api: Api) -> None:
    assert api.account is not None
    api.account.is_active = False
    api.account.save()
    refused(api.get("/v1/auth/me"), 401, "invalid_api_key")


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (None, "no Authorization header"),
        ("", "no Authorization header"),
        ("Bearer", "must read Bearer"),
        ("Bearer  ", "must read Bearer"),
        ("Basic YTpi", "must read Bearer"),
        ("cue_sk_0123", "must read Bearer"),
        ("Bearer cue_sk_0123", "knows no such API key"),
        ("Bearer cue_sk_ä", "knows no such API key"),
    ],
)
def test_the_refusal_says_what_is_wrong_with_the_header(anyone: Api, header: str | None, said: str) -> None:
    sent = {} if header is None else {"authorization": header}
    error = refused(anyone.send("GET", "/v1/auth/me", **sent), 401, "invalid_api_key")
    assert said in error["message"]


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer ", " Bearer"])
def test_the_scheme_is_read_in_any_case(api: Api, anyone: Api, scheme: str) -> None:
    assert anyone.send("GET", "/v1/auth/me", authorization=f"{scheme} {api.key}").status_code == 200


def test_a_token_that_is_no_key_is_taken_for_a_session(anyone: Api) -> None:
    refused(Api("not-a-key").get("/v1/auth/me"), 401, "invalid_session")
    refused(anyone.get("/v1/auth/me"), 401, "invalid_api_key")


def test_the_database_holds_no_key_in_plain_text(api: Api) -> None:
    fresh = regenerated(api)
    text = every_text_in_the_database()
    for key in (str(api.key), str(fresh.key)):
        assert key not in text
        assert key.removeprefix("cue_sk_") not in text
        assert keys.hash_key(key) in text  # so this looked in the right place


def test_the_last_use_is_noted_once_a_minute(api: Api) -> None:
    mine = ApiKey.objects.filter(account=api.account)
    api.get("/v1/auth/me")
    first = mine.get().last_used_at
    api.get("/v1/auth/me")
    assert mine.get().last_used_at == first is not None
    mine.update(last_used_at=clock.now() - timedelta(minutes=2))
    api.get("/v1/auth/me")
    assert mine.get().last_used_at > first
