"""Rate limits: a sliding minute per key or address, taken in one step, and out of the way when the store is down."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.test import RequestFactory

from cueapi import throttling
from cueapi.errors import RateLimited
from tests.support.api import Api, api_of_new_account
from tests.support.envelope import refused

NOW = datetime(2031, 5, 4, 9, 0, tzinfo=UTC)
HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


@pytest.fixture
def free(settings: LazySettings) -> Iterator[None]:
    """The default plan allows 60 requests a minute."""
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"default_plan": "free"})
    yield


def limit_to(api: Api, requests_per_minute: int) -> None:
    assert api.account is not None
    api.account.rate_limit_per_minute = requests_per_minute
    api.account.save()


# --- The window -------------------------------------------------------------------------------------------------


def test_each_hit_takes_a_place_until_there_is_none() -> None:
    rates = [throttling.hit("ada", 3, now=NOW + timedelta(seconds=second)) for second in range(4)]
    assert [rate.allowed for rate in rates] == [True, True, True, False]
    assert [rate.remaining for rate in rates] == [2, 1, 0, 0]
    assert {rate.reset_at for rate in rates} == {int(NOW.timestamp()) + 60}


def test_a_place_is_free_again_a_minute_after_it_was_taken() -> None:
    for second in (0, 30):
        assert throttling.hit("ada", 2, now=NOW + timedelta(seconds=second)).allowed
    assert not throttling.hit("ada", 2, now=NOW + timedelta(seconds=59.9)).allowed
    assert throttling.hit("ada", 2, now=NOW + timedelta(seconds=60)).allowed
    assert not throttling.hit("ada", 2, now=NOW + timedelta(seconds=61)).allowed


def test_refused_requests_do_not_count() -> None:
    assert throttling.hit("ada", 1, now=NOW).allowed
    for second in range(1, 60):
        assert not throttling.hit("ada", 1, now=NOW + timedelta(seconds=second)).allowed
    assert throttling.hit("ada", 1, now=NOW + timedelta(seconds=60)).allowed


def test_one_caller_s_window_is_not_another_s() -> None:
    assert throttling.hit("ada", 1, now=NOW).allowed
    assert throttling.hit("bob", 1, now=NOW).allowed


def test_of_many_at_once_one_takes_the_last_place() -> None:
    for _ in range(4):
        throttling.hit("ada", 5, now=NOW)
    with ThreadPoolExecutor(16) as pool:
        rates = list(pool.map(lambda _: throttling.hit("ada", 5, now=NOW), range(16)))
    assert [rate.allowed for rate in rates].count(True) == 1


def test_the_wait_is_in_whole_seconds_and_at_least_one() -> None:
    rate = throttling.Rate(limit=60, remaining=0, reset_at=int(NOW.timestamp()) + 7, allowed=False)
    assert throttling.refuse(rate, now=NOW + timedelta(seconds=0.5)).headers["Retry-After"] == "7"
    assert throttling.refuse(rate, now=NOW + timedelta(seconds=9)).headers["Retry-After"] == "1"


def test_behind_proxies_the_address_is_the_one_the_outermost_saw(settings: LazySettings) -> None:
    request = RequestFactory().get(
        "/", headers={"X-Forwarded-For": "6.6.6.6, 8.8.8.8, 10.0.0.1"}, REMOTE_ADDR="9.9.9.9"
    )
    addresses = []
    for count in (0, 1, 2, 4):
        settings.CUEAPI = settings.CUEAPI.model_copy(update={"trusted_proxy_count": count})
        addresses.append(throttling.client_address(request))
    assert addresses == ["9.9.9.9", "10.0.0.1", "8.8.8.8", "9.9.9.9"]


def test_a_window_may_be_an_hour_long() -> None:
    assert throttling.hit("ada", 1, now=NOW, window_s=3600).reset_at == int(NOW.timestamp()) + 3600
    assert not throttling.hit("ada", 1, now=NOW + timedelta(seconds=3599), window_s=3600).allowed
    assert throttling.hit("ada", 1, now=NOW + timedelta(seconds=3600), window_s=3600).allowed


def test_a_quota_is_refused_with_its_own_window() -> None:
    quota = throttling.Quota("letters", limit=1, window_s=3600)
    throttling.take(quota, "ada", now=NOW)
    throttling.take(quota, "bob", now=NOW)
    throttling.take(throttling.Quota("parcels", limit=1, window_s=3600), "ada", now=NOW)
    with pytest.raises(RateLimited, match="Over 1 requests in 3600 seconds") as caught:
        throttling.take(quota, "ada", now=NOW + timedelta(seconds=600))
    assert caught.value.headers["Retry-After"] == "3000"


# --- Over HTTP --------------------------------------------------------------------------------------------------


def test_success_and_error_both_carry_the_headers(api: Api) -> None:
    answers = [api.get("/v1/cues"), api.get("/v1/cues", limit="0"), api.get("/v1/cues/cue_000000000000")]
    answers += [api.send("PUT", "/v1/cues"), api.post("/v1/auth/register", {}), Api("cue_sk_unknown").get("/v1/cues")]
    for answer in answers:
        assert all(answer.headers[name].isdecimal() for name in HEADERS), answer.status_code
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers[:4]] == ["5999", "5998", "5997", "5996"]


def test_over_the_limit_is_a_429_with_the_seconds_to_wait(api: Api) -> None:
    limit_to(api, 2)
    assert [api.get("/v1/cues").status_code for _ in range(2)] == [200, 200]
    answer = api.get("/v1/cues")
    refused(answer, 429, "rate_limit_exceeded")
    assert re.fullmatch(r"[1-9][0-9]?", answer.headers["Retry-After"])
    assert (answer.headers["X-RateLimit-Limit"], answer.headers["X-RateLimit-Remaining"]) == ("2", "0")
    assert "X-Request-Id" in answer.headers


def test_the_account_s_own_limit_holds_from_the_first_request(db: None, free: None) -> None:
    assert api_of_new_account("ada@example.org").get("/v1/cues").headers["X-RateLimit-Limit"] == "60"


def test_two_accounts_do_not_share_a_window(api: Api, stranger: Api) -> None:
    limit_to(api, 1)
    limit_to(stranger, 1)
    assert [api.get("/v1/cues").status_code for _ in range(2)] == [200, 429]
    assert stranger.get("/v1/cues").status_code == 200


def test_guessing_keys_is_limited_by_address(db: None, free: None) -> None:
    guesses = [Api(f"cue_sk_{number:032x}").get("/v1/cues").status_code for number in range(62)]
    assert guesses == [401] * 60 + [429] * 2


def test_guessing_keys_does_not_slow_the_owner_of_one(api: Api, free: None) -> None:
    guesses = [Api("guess").get("/v1/cues").status_code for _ in range(61)]
    assert guesses[-1] == 429
    assert api.get("/v1/cues").status_code == 200


@pytest.mark.parametrize("path", ["/health", "/status", "/v1/info", "/docs", "/v1/openapi.json"])
def test_what_says_how_it_goes_is_not_limited(anyone: Api, path: str) -> None:
    answer = anyone.get(path)
    assert answer.status_code == 200
    assert not any(name in answer.headers for name in HEADERS)


def test_when_the_store_is_down_requests_pass(api: Api, settings: LazySettings, tmp_path: Path) -> None:
    limit_to(api, 1)
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"redis_url": f"unix://{tmp_path}/nobody.sock"})
    answers = [api.get("/v1/cues") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert {answer.headers["X-RateLimit-Limit"] for answer in answers} == {"1"}


@pytest.mark.django_db
def test_a_call_that_is_refused_before_its_caller_is_known_counts_too(anyone: Api, settings: LazySettings) -> None:
    changed = {"session_secret": "", "disable_device_code": True, "default_plan": "free"}
    settings.CUEAPI = settings.CUEAPI.model_copy(update=changed)
    for path in ("/v1/auth/session/refresh", "/v1/auth/device-code/poll"):
        assert "X-RateLimit-Remaining" in anyone.post(path, {"device_code": "ABCD-1234"}).headers, path
