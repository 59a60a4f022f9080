"""The doors of the floor: the account, its secrets, what the service says of itself, and who may read it."""

import json
from pathlib import Path

import pytest
from django.conf import LazySettings

from cueapi import clock, liveness, usage
from cueapi.liveness import BEAT_SILENT_S, BEATS_KEY, BeatCycle
from cueapi.models import Account
from cueapi.volatile import store
from tests.support.api import Api
from tests.support.broker import broker_down
from tests.support.envelope import refused

pytestmark = pytest.mark.django_db

CUE = {"cron": "15 2 * * *", "callback_url": "https://hooks.example.org/digest"}


# --- The account ------------------------------------------------------------------------------------------------


def test_me_shows_the_account_and_its_limits(api: Api) -> None:
    account = Account.objects.get()
    assert api.get("/v1/auth/me").json() == {
        "id": str(account.pk),
        "email": "ada@example.org",
        "plan": "unlimited",
        "active_cues": 0,
        "active_cue_limit": 1_000_000,
        "executions_this_month": 0,
        "monthly_execution_limit": 1_000_000_000,
        "rate_limit_per_minute": 6_000,
        "has_webhook_secret": True,
        "api_key_prefix": str(api.key)[:12],
        "slug": "ada",
        "alert_webhook_url": None,
        "alert_email": True,
    }


def test_me_counts_active_cues_and_no_others(api: Api, stranger: Api) -> None:
    stranger.post("/v1/cues", CUE | {"name": "hers"})
    first, second = (api.post("/v1/cues", CUE | {"name": name}).json() for name in ("one", "two"))
    assert api.get("/v1/auth/me").json()["active_cues"] == 2
    api.patch(f"/v1/cues/{first['id']}", {"status": "paused"})
    assert api.get("/v1/auth/me").json()["active_cues"] == 1
    api.delete(f"/v1/cues/{second['id']}")
    assert api.get("/v1/auth/me").json()["active_cues"] == 0


@pytest.mark.parametrize(
    ("env", "allow_register", "status"),
    [("development", True, 201), ("development", False, 201), ("production", True, 201), ("production", False, 404)],
)
def test_registration_can_be_closed_in_production(
    anyone: Api, settings: LazySettings, env: str, allow_register: bool, status: int
) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"env": env, "allow_register": allow_register})
    answer = anyone.post("/v1/auth/register", {"email": "bob@example.org"})
    assert answer.status_code == status
    if status == 404:
        refused(answer, 404, "not_found")
        assert not Account.objects.exists()


def test_a_key_cannot_be_shown_again(api: Api) -> None:
    error = refused(api.get("/v1/auth/key"), 410, "plaintext_unavailable")
    assert "egenerate" in error["message"]


# --- Secrets ----------------------------------------------------------------------------------------------------


def test_the_webhook_secret_is_shown_and_replaced(api: Api) -> None:
    before = api.get("/v1/auth/webhook-secret").json()["webhook_secret"]
    assert before.startswith("whsec_") and len(before) == len("whsec_") + 64
    answer = api.post("/v1/auth/webhook-secret/regenerate", x_confirm_destructive="true").json()
    assert answer["previous_secret_revoked"] is True
    assert answer["webhook_secret"] != before
    assert api.get("/v1/auth/webhook-secret").json() == {"webhook_secret": answer["webhook_secret"]}


def test_the_alert_secret_is_made_on_first_use_and_replaced(api: Api) -> None:
    before = api.get("/v1/auth/alert-webhook-secret").json()["alert_webhook_secret"]
    assert len(bytes.fromhex(before)) == 32
    assert api.get("/v1/auth/alert-webhook-secret").json()["alert_webhook_secret"] == before
    answer = api.post("/v1/auth/alert-webhook-secret/regenerate", x_confirm_destructive="true").json()
    assert answer["previous_secret_revoked"] is True
    assert answer["alert_webhook_secret"] == api.get("/v1/auth/alert-webhook-secret").json()["alert_webhook_secret"]
    assert answer["alert_webhook_secret"] != before


DESTRUCTIVE = [
    "/v1/auth/key/regenerate",
    "/v1/auth/webhook-secret/regenerate",
    "/v1/auth/alert-webhook-secret/regenerate",
]


@pytest.mark.parametrize("path", DESTRUCTIVE)
@pytest.mark.parametrize("confirmation", [None, "", "false", "1", "yes", "true, true"])
def test_what_cannot_be_undone_needs_its_header(api: Api, path: str, confirmation: str | None) -> None:
    secret = api.get("/v1/auth/webhook-secret").json()
    headers = {} if confirmation is None else {"x_confirm_destructive": confirmation}
    error = refused(api.post(path, **headers), 400, "confirmation_required")
    assert "X-Confirm-Destructive: true" in error["message"]
    assert api.get("/v1/auth/webhook-secret").json() == secret


@pytest.mark.parametrize("path", DESTRUCTIVE)
@pytest.mark.parametrize("confirmation", ["true", "TRUE", " true "])
def test_the_header_is_read_in_any_case(api: Api, path: str, confirmation: str) -> None:
    assert api.post(path, x_confirm_destructive=confirmation).status_code == 200


# --- The service ------------------------------------------------------------------------------------------------


def beat_ran(seconds_ago: float, name: str = "host:1") -> None:
    liveness.beat_lives(name, BeatCycle(clock.now().timestamp() - seconds_ago, cues=0, duration_ms=4))


def beats(anyone: Api) -> list[tuple[str, str]]:
    return [(beat["name"], beat["state"]) for beat in anyone.get("/health").json()["beats"]]


def test_a_beat_that_hangs_beside_one_that_runs_is_named(anyone: Api) -> None:
    beat_ran(seconds_ago=1, name="host:1")
    beat_ran(seconds_ago=BEAT_SILENT_S + 5, name="host:2")
    assert beats(anyone) == [("host:1", "ok"), ("host:2", "silent")]
    assert anyone.get("/health").json()["status"] == "healthy"
    assert anyone.get("/health").json()["poller"]["seconds_ago"] <= 2


def test_a_beat_that_stopped_in_order_is_gone_and_one_that_was_killed_is_forgotten_in_time(anyone: Api) -> None:
    for number in range(3):
        beat_ran(seconds_ago=1, name=f"host:{number}")
    liveness.beat_ends("host:0")
    beat_ran(seconds_ago=liveness.BEAT_FORGOTTEN_S + 5, name="host:1")
    assert beats(anyone) == [("host:2", "ok")]
    assert beats(anyone) == [("host:2", "ok")]


def test_the_last_beat_of_all_is_told_however_long_ago_it_was(anyone: Api) -> None:
    beat_ran(seconds_ago=liveness.BEAT_FORGOTTEN_S + 5)
    assert beats(anyone) == [("host:1", "silent")]
    assert anyone.get("/health").json()["services"]["poller"] == "stale"


def test_status_is_healthy_while_beat_runs(anyone: Api) -> None:
    beat_ran(seconds_ago=1)
    answer = anyone.get("/status")
    assert (answer.status_code, answer.json()) == (200, {"status": "healthy"})


@pytest.mark.parametrize("seconds_ago", [None, BEAT_SILENT_S + 5])
def test_status_says_that_beat_is_silent(anyone: Api, seconds_ago: float | None) -> None:
    if seconds_ago is not None:
        beat_ran(seconds_ago)
    answer = anyone.get("/status")
    assert (answer.status_code, answer.json()) == (200, {"status": "degraded", "reason": "poller stale"})


def test_status_and_health_say_that_the_store_is_down(anyone: Api, settings: LazySettings, tmp_path: Path) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"redis_url": f"unix://{tmp_path}/nobody.sock"})
    answer = anyone.get("/status")
    assert (answer.status_code, answer.json()) == (200, {"status": "degraded", "reason": "redis unreachable"})
    health = anyone.get("/health")
    assert (health.status_code, health.json()["status"], health.json()["services"]["redis"]) == (
        200,
        "degraded",
        "error",
    )


def test_status_and_health_say_that_the_broker_is_down(anyone: Api) -> None:
    beat_ran(seconds_ago=1)
    with broker_down():
        answer, health = anyone.get("/status"), anyone.get("/health").json()
    assert (answer.status_code, answer.json()) == (200, {"status": "degraded", "reason": "broker unreachable"})
    assert (health["status"], health["services"]["broker"], health["services"]["redis"]) == ("degraded", "error", "ok")


@pytest.mark.parametrize("left_behind", ["", "nonsense", "[]", "{}", '{"at": 1}'])
def test_a_sign_of_life_that_cannot_be_read_is_none(anyone: Api, left_behind: str) -> None:
    store().hset(BEATS_KEY, "host:1", left_behind)
    answer = anyone.get("/status")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")


def test_info_says_what_this_is_and_nothing_secret(anyone: Api, settings: LazySettings) -> None:
    answer = anyone.get("/v1/info")
    assert answer.status_code == 200
    assert set(answer.json()) == {"version", "authorization_backend", "authentication_paths", "disabled_primitives"}
    assert answer.json()["authentication_paths"] == {
        "per_user_api_key": True,
        "internal_token_with_on_behalf_of": False,
    }
    text = json.dumps(answer.json())
    assert settings.SECRET_KEY not in text and settings.CUEAPI.redis_url not in text


# --- Browsers of other origins ----------------------------------------------------------------------------------

EXPOSED = (
    *("X-Request-Id", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After"),
    "X-CueAPI-Usage-Warning",
    "Idempotent-Replayed",
)


@pytest.mark.parametrize("path", ["/v1/cues", "/v1/info", "/v1/nonsense", "/health", "/status"])
def test_any_origin_may_read_the_api(api: Api, path: str) -> None:
    answer = api.send("GET", path, origin="https://app.example.org")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    exposed = {name.strip().lower() for name in answer.headers["Access-Control-Expose-Headers"].split(",")}
    assert exposed == {name.lower() for name in EXPOSED}
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "PUT", "DELETE"])
def test_a_preflight_needs_no_key_and_allows_the_key_s_header(anyone: Api, method: str) -> None:
    answer = anyone.send(
        "OPTIONS",
        "/v1/cues",
        origin="https://app.example.org",
        access_control_request_method=method,
        access_control_request_headers="authorization, content-type, x-confirm-destructive",
    )
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert method in answer.headers["Access-Control-Allow-Methods"]
    allowed = [name.strip() for name in answer.headers["Access-Control-Allow-Headers"].split(",")]
    assert {"*", "authorization"} <= set(allowed)


def test_the_admin_is_for_its_own_origin_only(anyone: Api) -> None:
    answer = anyone.send("GET", "/admin/login/", origin="https://app.example.org")
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_the_webhook_secret_is_replaced_at_either_path(api: Api) -> None:
    for path in ("/v1/auth/webhook-secret", "/v1/auth/webhook-secret/regenerate"):
        refused(api.post(path), 400, "confirmation_required")
        replaced = api.post(path, x_confirm_destructive="true").json()
        assert replaced["previous_secret_revoked"] is True
        assert api.get("/v1/auth/webhook-secret").json()["webhook_secret"] == replaced["webhook_secret"]


def test_a_key_is_revealed_only_where_the_operator_keeps_copies(anyone: Api, settings: LazySettings) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"keep_key_copy": True, "session_secret": "s" * 40})
    made = anyone.post("/v1/auth/register", {"email": "grace@example.org"}).json()
    revealed = Api(made["api_key"]).get("/v1/auth/key").json()
    assert revealed == {"api_key": made["api_key"], "key_prefix": made["api_key"][:12]}


def test_use_near_the_limit_is_told_in_a_header(api: Api) -> None:
    Account.objects.update(monthly_execution_limit=10)
    usage.add({Account.objects.get(): 7}, now=clock.now())
    assert "X-CueAPI-Usage-Warning" not in api.get("/v1/auth/me").headers
    usage.add({Account.objects.get(): 1}, now=clock.now())
    assert api.get("/v1/auth/me").headers["X-CueAPI-Usage-Warning"] == "approaching_limit"
