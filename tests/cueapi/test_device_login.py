"""The device login, step by step: what each takes, what it refuses, and that each happens once."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.conf import LazySettings

from cueapi import accounts, clock, device_login, keys
from cueapi.device_login import CODE_CHARS, Credentials, LinkRefused
from cueapi.errors import BadRequest, Conflict
from cueapi.models import Account, ApiKey, DeviceLogin
from tests.support import make
from tests.support.api import Api
from tests.support.envelope import refused
from tests.support.login import CODE, logged_link, poll, start, submit
from tests.support.make import NOW
from tests.support.together import at_once

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]  # links go out on commit

ADA = "ada@example.org"
MINUTE = timedelta(minutes=1)


def token_of(caplog: pytest.LogCaptureFixture) -> str:
    return logged_link(caplog).partition("token=")[2].partition("&")[0]


def mailed(caplog: pytest.LogCaptureFixture, code: str = CODE, email: str = ADA) -> str:
    """Begin a login at NOW and have its link sent; the token in the link."""
    device_login.start(code, now=NOW)
    device_login.send_link(code, email, now=NOW)
    return token_of(caplog)


def signed_in(caplog: pytest.LogCaptureFixture, code: str = CODE, email: str = ADA) -> Credentials:
    device_login.approve(code, mailed(caplog, code, email), now=NOW)
    _, credentials = device_login.poll(code, now=NOW)
    assert credentials is not None
    return credentials


# --- 1. The code ------------------------------------------------------------------------------------------------


def test_a_login_starts_with_the_client_s_own_code(anyone: Api, settings: LazySettings) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"base_url": "https://cue.example.org"})
    answer = start(anyone, "ab/ü&<x>")
    assert answer.status_code == 201
    assert answer.json() == {
        "verification_url": "https://cue.example.org/auth/device?code=ab%2F%C3%BC%26%3Cx%3E",
        "expires_in": 900,
    }
    assert poll(anyone, "ab/ü&<x>") == {"status": "pending"}


@pytest.mark.parametrize("code", ["x" * 6, "x" * 128, "ABCD-1234"])
def test_a_code_has_6_to_128_characters(anyone: Api, code: str) -> None:
    assert start(anyone, code).status_code == 201


@pytest.mark.parametrize("code", ["", "x" * 5, "x" * 129, "abc\ndefg", "abcdef\x7f"])
def test_other_codes_are_refused(anyone: Api, code: str) -> None:
    error = refused(start(anyone, code), 400, "invalid_device_code")
    assert f"{CODE_CHARS[0]} to {CODE_CHARS[-1]}" in error["message"]
    assert poll(anyone, code) == {"status": "expired"}


@pytest.mark.parametrize("body", [{}, {"device_code": None}, {"device_code": 123456}, {"device_code": ["abcdef"]}])
def test_what_is_no_text_is_no_code(anyone: Api, body: dict[str, Any]) -> None:
    for path in ("device-code", "device-code/poll", "device-code/submit-email"):
        refused(anyone.post(f"/v1/auth/{path}", body), 422, "validation_error", "body.device_code")


def test_a_code_in_use_is_not_started_again(anyone: Api) -> None:
    assert start(anyone).status_code == 201
    refused(start(anyone), 409, "device_code_exists")


def test_an_expired_or_claimed_code_may_be_used_again(caplog: pytest.LogCaptureFixture) -> None:
    device_login.start(CODE, now=NOW)
    with pytest.raises(Conflict):
        device_login.start(CODE, now=NOW + 14 * MINUTE)
    device_login.start(CODE, now=NOW + 15 * MINUTE)
    signed_in(caplog, "another-code")
    device_login.start("another-code", now=NOW)
    assert device_login.poll("another-code", now=NOW) == ("pending", None)


def test_of_two_starts_at_once_one_has_the_code() -> None:
    device_login.start(CODE, now=NOW - timedelta(hours=1))  # an expired one, which both clear away
    results = at_once([partial(device_login.start, CODE, now=NOW)] * 4)
    assert sorted(type(result).__name__ for result in results) == ["Conflict"] * 3 + ["DeviceLogin"]
    assert DeviceLogin.objects.get().created_at == NOW


# --- 2. The address ---------------------------------------------------------------------------------------------


def test_an_address_gets_a_link_that_is_kept_as_a_hash(anyone: Api, caplog: pytest.LogCaptureFixture) -> None:
    start(anyone)
    answer = submit(anyone)
    assert (answer.status_code, answer.json()) == (200, {"status": "email_sent"})
    assert poll(anyone) == {"status": "email_sent"}
    token = token_of(caplog)
    assert len(token) == 64 and set(token) <= set("0123456789abcdef")
    assert token not in str(DeviceLogin.objects.values().get())


def test_a_code_that_nobody_began_is_not_found(anyone: Api) -> None:
    refused(submit(anyone), 404, "device_code_not_found")
    refused(submit(anyone, code="x"), 404, "device_code_not_found")


@pytest.mark.parametrize("email", ["", "ada", "ada@", "a\nb@example.org", None, 5])
def test_what_is_no_address_is_refused(anyone: Api, email: Any) -> None:
    start(anyone)
    answer = anyone.post("/v1/auth/device-code/submit-email", {"device_code": CODE, "email": email})
    refused(answer, 422, "validation_error", "body.email")


def test_an_expired_code_takes_no_address(anyone: Api) -> None:
    start(anyone)
    DeviceLogin.objects.update(expires_at=clock.now())
    refused(submit(anyone), 400, "device_code_expired")


def test_a_code_takes_one_address(anyone: Api, caplog: pytest.LogCaptureFixture) -> None:
    start(anyone)
    submit(anyone)
    error = refused(submit(anyone, "eve@example.org"), 400, "invalid_status")
    assert "start the login again" in error["message"]
    assert DeviceLogin.objects.get().email == ADA


def test_of_two_addresses_at_once_one_gets_the_one_link(caplog: pytest.LogCaptureFixture) -> None:
    device_login.start(CODE, now=NOW)
    emails = [ADA, "eve@example.org"] * 2
    results = at_once([partial(device_login.send_link, CODE, email, now=NOW) for email in emails])
    assert [type(result) for result in results].count(BadRequest) == 3
    winner = emails[results.index(None)]
    assert [vars(record)["email"] for record in caplog.records if "open" in vars(record)] == [winner]
    assert device_login.approve(CODE, token_of(caplog), now=NOW).email == winner


# --- 3. The link ------------------------------------------------------------------------------------------------


def test_the_link_makes_the_account_and_can_be_opened_once(anyone: Api, caplog: pytest.LogCaptureFixture) -> None:
    start(anyone)
    submit(anyone)
    link = logged_link(caplog)
    page = anyone.get(link)
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert Account.objects.get().email == ADA
    assert ApiKey.objects.count() == 0  # made when it is handed out, so that nothing readable waits here
    again = anyone.get(link)
    assert again.status_code == 400 and "used already" in again.content.decode()
    assert poll(anyone)["status"] == "approved"


def test_a_link_is_good_for_fifteen_minutes(caplog: pytest.LogCaptureFixture) -> None:
    token = mailed(caplog)
    with pytest.raises(LinkRefused, match="expired"):
        device_login.approve(CODE, token, now=NOW + 15 * MINUTE)
    assert device_login.approve(CODE, token, now=NOW + 15 * MINUTE - timedelta(seconds=1)).email == ADA


def test_no_other_link_approves(caplog: pytest.LogCaptureFixture) -> None:
    device_login.start("pending-code", now=NOW)
    token, other = mailed(caplog), mailed(caplog, "other-code")
    wrong = [(CODE, other), (CODE, token[:-1]), (CODE, ""), (CODE, "ä"), ("", token), ("x\x00" * 9, token)]
    for code, guess in [*wrong, ("unknown-code", token), ("pending-code", token), ("pending-code", "")]:
        with pytest.raises(LinkRefused):
            device_login.approve(code, guess, now=NOW)
    assert Account.objects.count() == 0


def test_of_many_clicks_at_once_one_approves(caplog: pytest.LogCaptureFixture) -> None:
    token = mailed(caplog)
    results = at_once([partial(device_login.approve, CODE, token, now=NOW)] * 4)
    assert sorted(type(result).__name__ for result in results) == ["DeviceLogin"] + ["LinkRefused"] * 3
    assert Account.objects.count() == 1


def test_two_devices_of_one_new_address_share_its_account(caplog: pytest.LogCaptureFixture) -> None:
    codes = ["first-code", "second-code"]
    tokens = [mailed(caplog, code, email) for code, email in zip(codes, [ADA, "ADA@example.org"], strict=True)]
    both = zip(codes, tokens, strict=True)
    results = at_once([partial(device_login.approve, code, token, now=NOW) for code, token in both])
    assert [type(result) for result in results] == [DeviceLogin] * 2
    assert [login.account for login in DeviceLogin.objects.all()] == [Account.objects.get()] * 2


def test_where_registration_is_closed_the_link_makes_no_account(
    caplog: pytest.LogCaptureFixture, settings: LazySettings
) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"env": "production", "allow_register": False})
    token = mailed(caplog)
    with pytest.raises(LinkRefused, match="registration is switched off"):
        device_login.approve(CODE, token, now=NOW)
    assert Account.objects.count() == 0
    accounts.register(ADA, now=NOW)
    assert device_login.approve(CODE, token, now=NOW).email == ADA


def test_an_account_that_is_switched_off_stays_so(caplog: pytest.LogCaptureFixture) -> None:
    make.account(is_active=False)
    with pytest.raises(LinkRefused, match="switched off"):
        device_login.approve(CODE, mailed(caplog), now=NOW)
    token = mailed(caplog, "other-code", "bob@example.org")
    device_login.approve("other-code", token, now=NOW)
    Account.objects.update(is_active=False)
    assert device_login.poll("other-code", now=NOW) == ("expired", None)


# --- 4. The key -------------------------------------------------------------------------------------------------


def test_a_new_account_gets_its_default_key(anyone: Api, caplog: pytest.LogCaptureFixture) -> None:
    credentials = signed_in(caplog)
    key = keys.find(credentials.api_key, now=NOW)
    assert (key.label, key.created_by, key.account.email) == ("default", "device", ADA)


def test_an_existing_account_gets_a_further_key_and_keeps_its_own(
    api: Api, anyone: Api, caplog: pytest.LogCaptureFixture
) -> None:
    code = "c" * 128
    credentials = signed_in(caplog, code, "ADA@example.org")
    assert credentials.email == ADA
    key = keys.find(credentials.api_key, now=NOW)
    assert (key.label, key.created_by) == (f"device:{code}"[:100], "device")
    assert api.get("/v1/auth/me").status_code == 200


def test_where_copies_are_kept_every_device_gets_the_same_key(
    caplog: pytest.LogCaptureFixture, settings: LazySettings
) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"keep_key_copy": True, "session_secret": "s" * 40})
    _, registered = accounts.register(ADA, now=NOW)
    assert signed_in(caplog).api_key == registered
    assert signed_in(caplog, "second-code").api_key == registered
    first = signed_in(caplog, "third-code", "new@example.org").api_key
    assert signed_in(caplog, "fourth-code", "new@example.org").api_key == first
    ApiKey.objects.update(revoked_at=NOW)
    assert signed_in(caplog, "fifth-code").api_key not in (registered, first)


def test_the_answer_is_what_clients_read_and_is_given_once(anyone: Api, caplog: pytest.LogCaptureFixture) -> None:
    start(anyone)
    submit(anyone)
    anyone.get(logged_link(caplog))
    answer = poll(anyone)
    assert set(answer) == {"status", "email", "api_key", "session_token"}
    assert (answer["status"], answer["email"]) == ("approved", ADA)
    assert Api(answer["api_key"]).get("/v1/auth/me").json()["email"] == ADA
    assert poll(anyone) == {"status": "claimed"}
    row = str(DeviceLogin.objects.values().get())
    assert answer["api_key"] not in row and answer["session_token"] not in row


def test_of_many_polls_at_once_one_gets_the_key(caplog: pytest.LogCaptureFixture) -> None:
    device_login.approve(CODE, mailed(caplog), now=NOW)
    results = at_once([partial(device_login.poll, CODE, now=NOW)] * 4)
    assert sorted(str(status) for status, _ in results) == ["approved"] + ["claimed"] * 3
    assert len([credentials for _, credentials in results if credentials]) == 1
    assert ApiKey.objects.count() == 1


def test_of_two_sessions_opened_at_once_with_one_token_one_opens(caplog: pytest.LogCaptureFixture) -> None:
    token = signed_in(caplog).session_token
    results = at_once([partial(device_login.redeem, token, now=NOW)] * 8)
    assert sorted(type(result).__name__ for result in results) == ["Account"] + ["Unauthorized"] * 7


def test_a_login_expires_when_nobody_goes_on_with_it(anyone: Api, caplog: pytest.LogCaptureFixture) -> None:
    assert poll(anyone, "never-begun") == {"status": "expired"}
    device_login.start("pending-code", now=NOW)
    device_login.approve(CODE, mailed(caplog), now=NOW + 10 * MINUTE)
    assert device_login.poll("pending-code", now=NOW + 15 * MINUTE) == ("expired", None)
    assert device_login.poll(CODE, now=NOW + 25 * MINUTE) == ("expired", None)
    status, credentials = device_login.poll(CODE, now=NOW + 24 * MINUTE)
    assert (status, bool(credentials)) == ("approved", True)  # a link opened late leaves the device its time


def test_logins_are_forgotten_a_day_after_their_end() -> None:
    device_login.start("old-code", now=NOW - timedelta(days=1, minutes=15))
    device_login.start("new-code", now=NOW - timedelta(days=1, minutes=14))
    assert device_login.forget(now=NOW) == 1
    assert DeviceLogin.objects.get().code == "new-code"


# --- Limits, and the switch ---------------------------------------------------------------------------------------


def test_five_codes_an_hour_for_one_address_are_the_most(anyone: Api) -> None:
    answers = [start(anyone, f"code-{number}") for number in range(6)]
    assert [answer.status_code for answer in answers] == [201] * 5 + [429]
    assert answers[5].headers["X-RateLimit-Limit"] == "5"


def test_a_code_may_be_polled_thirty_times_a_minute(anyone: Api) -> None:
    start(anyone)
    for _ in range(30):
        assert poll(anyone)["status"] == "pending"
    answer = anyone.post("/v1/auth/device-code/poll", {"device_code": CODE})
    refused(answer, 429, "rate_limit_exceeded")
    assert 1 <= int(answer.headers["Retry-After"]) <= 61
    assert poll(anyone, "another-code") == {"status": "expired"}


def test_three_mails_an_hour_for_one_address_and_ten_for_one_sender_are_the_most(anyone: Api) -> None:
    emails = [ADA, "ADA@example.org", ADA, ADA, *(f"bob{number}@example.org" for number in range(7))]
    for number in range(len(emails)):
        device_login.start(f"code-{number}", now=clock.now())
    answers = [submit(anyone, email, f"code-{number}").status_code for number, email in enumerate(emails)]
    assert answers == [200, 200, 200, 429, 200, 200, 200, 200, 200, 200, 429]


def test_the_device_login_can_be_switched_off(anyone: Api, settings: LazySettings) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"disable_device_code": True})
    answers = [start(anyone), submit(anyone), anyone.post("/v1/auth/device-code/poll", {"device_code": CODE})]
    answers += [anyone.get("/auth/device", code=CODE), anyone.get("/v1/auth/verify", token="x", device_code=CODE)]
    for answer in answers:
        refused(answer, 404, "not_found")
    assert anyone.post("/v1/auth/session", {"token": "x"}).status_code != 404


def test_codes_that_nobody_started_use_up_none_of_an_address_s_mails(anyone: Api) -> None:
    for n in range(4):
        refused(submit(anyone, code=f"GUESS-{n}"), 404, "device_code_not_found")
    start(anyone)
    assert submit(anyone).status_code == 200
