"""Session tokens: signed by this server, good for their time, and as good as a key."""

from datetime import timedelta
from typing import Any

import jwt
import pytest
from django.conf import LazySettings

from cueapi import clock, device_login, keys, sessions
from cueapi.models import Account, ApiKey
from tests.support import make
from tests.support.api import Api
from tests.support.envelope import refused
from tests.support.login import approved
from tests.support.make import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.database]

signing_in = pytest.mark.django_db(transaction=True)  # the link goes out on commit

SECRET = "a-session-secret-for-tests-only-a-session-secret"


@pytest.fixture(autouse=True)
def secret(settings: LazySettings) -> str:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"session_secret": SECRET})
    return SECRET


@pytest.fixture
def session(api: Api) -> Api:
    """The API with a session of Ada's in place of her key."""
    assert api.account is not None
    return Api(sessions.token_for(api.account, now=clock.now()), api.account)


def forged(account: Account, secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> Api:
    """The API with a token of our own making; a claim that is None is left out."""
    now = int(clock.now().timestamp())
    genuine = {"sub": str(account.pk), "email": account.email, "type": "session", "iat": now, "exp": now + 60}
    said = {name: value for name, value in (genuine | claims).items() if value is not None}
    return Api(jwt.encode(said, secret, algorithm=algorithm))


# --- What a token says ------------------------------------------------------------------------------------------


def test_a_token_says_who_and_until_when() -> None:
    account = make.account()
    token = sessions.token_for(account, now=NOW)
    assert jwt.get_unverified_header(token)["alg"] == "HS256"
    claims = jwt.decode(token, SECRET, algorithms=["HS256"], options={"verify_iat": False})
    day = timedelta(hours=24)
    assert claims == {
        "sub": str(account.pk),
        "email": "ada@example.org",
        "type": "session",
        "iat": int(NOW.timestamp()),
        "exp": int((NOW + day).timestamp()),
    }
    assert sessions.find(token, now=NOW + day - timedelta(seconds=1)) == account


def test_how_long_it_lasts_is_a_setting(settings: LazySettings) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"session_jwt_expiry_hours": 0.5})
    claims = jwt.decode(sessions.token_for(make.account(), now=NOW), options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 1800


# --- Whom it lets in --------------------------------------------------------------------------------------------


def test_a_session_opens_what_a_key_opens(session: Api) -> None:
    assert session.get("/v1/auth/me").json()["email"] == "ada@example.org"
    cue = session.post("/v1/cues", make.body())
    assert cue.status_code == 201
    assert session.delete(f"/v1/cues/{cue.json()['id']}").status_code == 204


def test_a_session_that_is_over_says_so(api: Api) -> None:
    assert api.account is not None
    over = sessions.token_for(api.account, now=clock.now() - timedelta(hours=24, seconds=1))
    refused(Api(over).get("/v1/auth/me"), 401, "session_expired")


def test_a_session_ends_with_its_account(session: Api) -> None:
    Account.objects.update(is_active=False)
    refused(session.get("/v1/auth/me"), 401, "user_not_found")
    Account.objects.all().delete()
    refused(session.get("/v1/auth/me"), 401, "user_not_found")


def test_only_a_token_that_this_server_signed_is_one(api: Api) -> None:
    account = api.account
    assert account is not None
    assert forged(account).get("/v1/auth/me").status_code == 200  # so the others fail for their own reason
    others = [
        forged(account, secret="another-secret-of-somebody-else-entirely-here"),
        forged(account, secret=SECRET * 2, algorithm="HS512"),
        forged(account, secret="", algorithm="none"),
        forged(account, type="access"),
        *(forged(account, **{claim: None}) for claim in ("sub", "email", "type", "iat", "exp")),
        forged(account, exp=None, nbf=1),
        forged(account, exp="tomorrow"),
        *(Api(text) for text in ("x", "a.b.c", "....", "eyJhbGciOiJub25lIn0..", "ä" * 9, "x" * 9000)),
    ]
    for other in others:
        refused(other.get("/v1/auth/me"), 401, "invalid_session")
    refused(forged(account, sub="nobody").get("/v1/auth/me"), 401, "user_not_found")


def test_all_sessions_of_an_account_share_one_window(api: Api, session: Api) -> None:
    Account.objects.update(rate_limit_per_minute=2)
    another = session.post("/v1/auth/session/refresh").json()["session_token"]
    assert session.get("/v1/auth/me").status_code == 200
    refused(Api(another).get("/v1/auth/me"), 429, "rate_limit_exceeded")
    assert api.get("/v1/auth/me").status_code == 200


# --- What has a key, for those who come without ------------------------------------------------------------------


def test_a_session_shows_and_replaces_the_default_key(api: Api, session: Api) -> None:
    api.post("/v1/auth/keys", {"label": "laptop"})
    assert session.get("/v1/auth/me").json()["api_key_prefix"] == str(api.key)[:12]
    refused(session.get("/v1/auth/key"), 410, "plaintext_unavailable")
    fresh = session.post("/v1/auth/key/regenerate", x_confirm_destructive="true").json()["api_key"]
    refused(api.get("/v1/auth/me"), 401, "key_rotated")
    assert session.get("/v1/auth/me").json()["api_key_prefix"] == fresh[:12]


def test_a_session_reveals_the_kept_key(api: Api, session: Api, settings: LazySettings) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"keep_key_copy": True})
    fresh = session.post("/v1/auth/key/regenerate", x_confirm_destructive="true").json()["api_key"]
    assert session.get("/v1/auth/key").json() == {"api_key": fresh, "key_prefix": fresh[:12]}


def test_an_account_without_a_live_key_can_make_one_in_a_session(session: Api) -> None:
    ApiKey.objects.update(revoked_at=clock.now())
    assert session.get("/v1/auth/me").json()["api_key_prefix"] is None
    refused(session.get("/v1/auth/key"), 410, "plaintext_unavailable")
    error = refused(session.post("/v1/auth/key/regenerate", x_confirm_destructive="true"), 404, "not_found")
    assert "POST /v1/auth/keys" in error["message"]
    made = session.post("/v1/auth/keys", {"label": "again"}).json()
    assert keys.find(made["api_key"], now=clock.now()).account == session.account


# --- Opening and refreshing -------------------------------------------------------------------------------------


def open_session(anyone: Api, token: Any) -> Any:
    return anyone.post("/v1/auth/session", {"token": token})


@signing_in
def test_the_token_of_a_login_opens_one_session(anyone: Api, caplog: pytest.LogCaptureFixture) -> None:
    token = approved(anyone, caplog)["session_token"]
    answer = open_session(anyone, token)
    assert (answer.status_code, answer.json()["email"]) == (200, "ada@example.org")
    assert Api(answer.json()["session_token"]).get("/v1/auth/me").json()["email"] == "ada@example.org"
    refused(open_session(anyone, token), 401, "invalid_token")


@signing_in
def test_it_is_good_for_fifteen_minutes(anyone: Api, caplog: pytest.LogCaptureFixture) -> None:
    token = approved(anyone, caplog)["session_token"]
    with pytest.raises(Exception, match="used or older"):
        device_login.redeem(token, now=clock.now() + timedelta(minutes=15))
    assert device_login.redeem(token, now=clock.now() + timedelta(minutes=14)).email == "ada@example.org"


@pytest.mark.parametrize("token", ["x", "ä", "x" * 5000])
def test_a_made_up_token_opens_nothing(anyone: Api, token: str) -> None:
    refused(open_session(anyone, token), 401, "invalid_token")


@pytest.mark.parametrize("token", ["", None, 5])
def test_what_is_no_text_is_no_token(anyone: Api, token: Any) -> None:
    refused(open_session(anyone, token), 422, "validation_error", "body.token")


def test_a_session_is_refreshed_by_a_session_only(api: Api, session: Api, anyone: Api) -> None:
    answer = session.post("/v1/auth/session/refresh")
    assert (answer.status_code, answer.json()["email"]) == (200, "ada@example.org")
    assert Api(answer.json()["session_token"]).get("/v1/auth/me").status_code == 200
    error = refused(api.post("/v1/auth/session/refresh"), 401, "invalid_session")
    assert "session token" in error["message"]
    refused(anyone.post("/v1/auth/session/refresh"), 401, "invalid_api_key")


@signing_in
def test_without_a_secret_there_are_no_sessions(
    anyone: Api, session: Api, caplog: pytest.LogCaptureFixture, settings: LazySettings
) -> None:
    token = approved(anyone, caplog)["session_token"]
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"session_secret": ""})
    refused(open_session(anyone, token), 503, "session_unavailable")
    refused(session.post("/v1/auth/session/refresh"), 503, "session_unavailable")
    refused(session.get("/v1/auth/me"), 401, "invalid_session")
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"session_secret": SECRET})
    assert open_session(anyone, token).status_code == 200  # the refusal did not use it up
