"""Named keys: made, listed, renamed and revoked by their own account, of which one key always stays."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.conf import LazySettings

from cueapi import accounts, clock, keys
from cueapi.errors import Conflict, Unauthorized
from cueapi.models import Account, ApiKey
from tests.support import make
from tests.support.api import Api
from tests.support.envelope import refused
from tests.support.make import NOW
from tests.support.together import at_once

pytestmark = [pytest.mark.django_db, pytest.mark.database]

racing = pytest.mark.django_db(transaction=True)


def create(api: Api, label: Any = "laptop") -> Any:
    return api.post("/v1/auth/keys", {"label": label})


def listed(api: Api) -> list[dict[str, Any]]:
    answer = api.get("/v1/auth/keys")
    assert answer.status_code == 200, answer.content
    found: list[dict[str, Any]] = answer.json()["keys"]
    return found


def delete(api: Api, key_id: Any) -> Any:
    return api.delete(f"/v1/auth/keys/{key_id}", x_confirm_destructive="true")


def own(api: Api) -> ApiKey:
    return ApiKey.objects.get(hash=keys.hash_key(str(api.key)))


# --- Making and listing -----------------------------------------------------------------------------------------


def test_a_named_key_is_shown_once_and_works(api: Api) -> None:
    answer = create(api)
    assert answer.status_code == 201
    made = answer.json()
    assert set(made) == {"id", "api_key", "prefix", "label", "created_at"}
    assert (made["label"], made["prefix"]) == ("laptop", made["api_key"][:12])
    assert Api(made["api_key"]).get("/v1/auth/me").json()["email"] == "ada@example.org"
    assert made["api_key"] not in api.get("/v1/auth/keys").content.decode()


def test_the_list_has_the_newest_first_with_who_made_it(api: Api) -> None:
    for label in ("laptop", "server"):
        create(api, label)
    found = listed(api)
    assert [key["label"] for key in found] == ["server", "laptop", "default"]
    assert [key["created_by"] for key in found] == ["user", "user", "register"]
    assert set(found[0]) == {"id", "prefix", "label", "created_at", "created_by", "last_used_at", "revoked_at"}
    assert found[0]["last_used_at"] is None and found[2]["last_used_at"] is not None
    assert {key["revoked_at"] for key in found} == {None}


@pytest.mark.parametrize("label", ["", "  ", "x" * 101, None, 5, ["x"]])
def test_a_label_is_1_to_100_characters(api: Api, label: Any) -> None:
    refused(create(api, label), 422, "validation_error", "body.label")
    refused(api.patch(f"/v1/auth/keys/{own(api).pk}", {"label": label}), 422, "validation_error", "body.label")
    assert [key["label"] for key in listed(api)] == ["default"]


def test_ten_keys_an_hour_are_the_most(api: Api, stranger: Api) -> None:
    assert {create(api).status_code for _ in range(10)} == {201}
    answer = create(api)
    refused(answer, 429, "rate_limit_exceeded")
    assert 3500 < int(answer.headers["Retry-After"]) <= 3601
    assert create(stranger).status_code == 201
    assert ApiKey.objects.filter(account=api.account).count() == 11


def test_a_key_is_renamed(api: Api) -> None:
    key_id = create(api).json()["id"]
    answer = api.patch(f"/v1/auth/keys/{key_id}", {"label": "old laptop"})
    assert (answer.status_code, answer.json()) == (200, {"id": key_id, "label": "old laptop"})
    assert listed(api)[0]["label"] == "old laptop"


# --- Revoking ---------------------------------------------------------------------------------------------------


def test_a_revoked_key_ends_at_once(api: Api) -> None:
    made = create(api).json()
    laptop = Api(made["api_key"])
    assert laptop.get("/v1/auth/me").status_code == 200
    answer = delete(api, made["id"])
    assert (answer.status_code, answer.json()["id"]) == (200, made["id"])
    refused(laptop.get("/v1/auth/me"), 401, "key_revoked")
    assert listed(api)[0]["revoked_at"] == answer.json()["revoked_at"]


def test_revoking_again_answers_the_first_time(api: Api) -> None:
    key_id = create(api).json()["id"]
    first = delete(api, key_id).json()
    assert delete(api, key_id).json() == first


def test_a_key_may_revoke_itself_but_not_the_last_one(api: Api) -> None:
    laptop = Api(create(api).json()["api_key"])
    assert delete(api, own(api).pk).status_code == 200
    error = refused(delete(laptop, own(laptop).pk), 409, "last_key_protected")
    assert "POST /v1/auth/keys" in error["message"]
    assert laptop.get("/v1/auth/me").status_code == 200


def test_without_the_header_nothing_is_revoked(api: Api) -> None:
    key_id = create(api).json()["id"]
    refused(api.delete(f"/v1/auth/keys/{key_id}"), 400, "confirmation_required")
    assert listed(api)[0]["revoked_at"] is None


def test_a_replaced_key_is_listed_as_ended_and_does_not_count_as_live(api: Api) -> None:
    replaced = own(api)
    fresh = Api(keys.regenerate(replaced, now=clock.now()))
    new, old = listed(fresh)
    assert (new["revoked_at"], old["id"]) == (None, str(replaced.pk))
    assert old["revoked_at"] is not None
    assert delete(fresh, old["id"]).json() == {"id": old["id"], "revoked_at": old["revoked_at"]}
    refused(delete(fresh, new["id"]), 409, "last_key_protected")


def test_an_overlap_makes_a_key_neither_ended_nor_the_one_that_stays(api: Api) -> None:
    old = own(api)
    fresh = Api(keys.regenerate(old, overlap=timedelta(hours=2), now=clock.now()))
    assert [key["revoked_at"] for key in listed(fresh)] == [None, None]
    refused(delete(fresh, own(fresh).pk), 409, "last_key_protected")
    assert delete(fresh, old.pk).status_code == 200
    refused(api.get("/v1/auth/me"), 401, "key_revoked")


def test_ended_keys_are_listed_for_a_month() -> None:
    account = make.account()
    for label, ended in (("lately", timedelta(days=29)), ("long ago", timedelta(days=30))):
        for column in ("revoked_at", "replaced_at"):
            key, _ = keys.issue(account, label=f"{label}, {column}", created_by="user", now=NOW - ended)
            ApiKey.objects.filter(pk=key.pk).update(**{column: NOW - ended})
    labels = {key.label for key in keys.listed(account, now=NOW)}
    assert labels == {"default", "lately, revoked_at", "lately, replaced_at"}


@racing
def test_of_the_last_two_keys_revoked_at_once_one_stays(api: Api) -> None:
    account = Account.objects.get()
    other, _ = keys.issue(account, label="laptop", created_by="user", now=clock.now())
    ids = [str(own(api).pk), str(other.pk)]
    results = at_once([partial(keys.revoke, account, key_id, now=clock.now()) for key_id in ids])
    (loser,) = [result for result in results if isinstance(result, Conflict)]
    assert loser.code == "last_key_protected"
    assert ApiKey.objects.filter(revoked_at=None).count() == 1


@racing
def test_a_key_revoked_many_times_at_once_has_one_end(api: Api) -> None:
    account = Account.objects.get()
    other, _ = keys.issue(account, label="laptop", created_by="user", now=clock.now())
    moments = [NOW + timedelta(seconds=second) for second in range(4)]
    ends = at_once([partial(keys.revoke, account, str(other.pk), now=now) for now in moments])
    assert set(ends) == {ApiKey.objects.get(pk=other.pk).revoked_at}


@racing
def test_a_key_replaced_and_revoked_at_once_leaves_a_live_one(api: Api) -> None:
    account, key = Account.objects.get(), own(api)
    keys.issue(account, label="laptop", created_by="user", now=clock.now())
    replace = partial(keys.regenerate, key, now=clock.now())
    revoke = partial(keys.revoke, account, str(key.pk), now=clock.now())
    replaced, _ = at_once([replace, revoke])
    live = ApiKey.objects.filter(revoked_at=None, replaced_at=None)
    assert live.count() == (1 if isinstance(replaced, Unauthorized) else 2)
    assert not live.filter(pk=key.pk).exists()


# --- The default key --------------------------------------------------------------------------------------------


def test_the_default_key_is_the_registered_one_and_what_replaced_it(api: Api) -> None:
    account = Account.objects.get()
    keys.issue(account, label="default", created_by="user", now=NOW)
    assert keys.default_of(account) == own(api)
    fresh = keys.regenerate(own(api), now=clock.now())
    assert keys.default_of(account) == ApiKey.objects.get(hash=keys.hash_key(fresh))


def test_without_it_the_oldest_live_key_stands_in(api: Api) -> None:
    account = Account.objects.get()
    oldest, _ = keys.issue(account, label="laptop", created_by="user", now=NOW)
    keys.issue(account, label="server", created_by="user", now=NOW + timedelta(seconds=1))
    delete(api, own(api).pk)
    assert keys.default_of(account) == oldest
    ApiKey.objects.update(revoked_at=NOW)
    assert keys.default_of(account) is None


def test_copies_are_kept_of_the_default_key_only(anyone: Api, settings: LazySettings) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"keep_key_copy": True, "session_secret": "s" * 40})
    account, default = accounts.register("grace@example.org", now=NOW)
    named = [keys.issue(account, label=label, created_by="user", now=NOW)[1] for label in ("laptop", "default")]
    for key in named:
        refused(Api(key).get("/v1/auth/key"), 410, "plaintext_unavailable")
    assert keys.kept_copy(account) == default
    fresh = keys.regenerate(own(Api(default)), now=NOW)
    assert keys.kept_copy(account) == fresh
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"keep_key_copy": False})
    assert keys.kept_copy(account) == ""
