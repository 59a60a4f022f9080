"""What an account used of its plan, and the limit on fires by hand, over HTTP (contract 1.5 and 8.2)."""

from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine

from cueapi import usage
from cueapi.models import Account, MonthlyUsage
from tests.support import make
from tests.support.api import Api
from tests.support.envelope import refused

pytestmark = [pytest.mark.django_db, pytest.mark.database]

TENTH = datetime(2031, 5, 10, 12, tzinfo=UTC)


def set_account(api: Api, **columns: Any) -> None:
    Account.objects.filter(pk=api.account.pk).update(**columns)


@pytest.fixture(autouse=True)
def tenth_of_may():
    with time_machine.travel(TENTH, tick=False):
        yield


def test_usage_shows_every_key(api: Api) -> None:
    set_account(api, plan="free", active_cue_limit=10, monthly_execution_limit=300, rate_limit_per_minute=60)
    for status in ("active", "active", "active", "paused", "completed", "failed"):
        cue = make.cue(api.account, status=status, next_run=None)
    usage.add({Account.objects.get(): 127}, now=TENTH)
    for number in range(5):
        make.execution(cue, status="success", outcome_success=number < 3, outcome_recorded_at=TENTH)
    earlier = datetime(2031, 4, 30, 23, 59, 59, tzinfo=UTC)
    make.execution(cue, status="success", outcome_success=True, outcome_recorded_at=earlier)
    api.get("/v1/cues")
    assert api.get("/v1/usage").json() == {
        "plan": "free",
        "billing_period": {"start": "2031-05-01", "end": "2031-05-31", "days_remaining": 21},
        "period": {"start": "2031-05-01", "end": "2031-05-31"},
        "cues": {"used": 4, "active": 3, "limit": 10, "remaining": 6, "percent_used": 40},
        "executions": {
            "used": 127,
            "limit": 300,
            "remaining": 173,
            "percent_used": 42,
            "percentage": 42.3,
            "projected_month_end": 394,
            "will_exceed_limit": True,
        },
        "outcomes": {"reported": 5, "succeeded": 3, "failed": 2},
        "rate_limit": {"requests_per_minute": 60, "limit": 60, "current_usage": 2},
        "upgrade_url": None,
    }


def test_nothing_is_left_of_a_limit_that_is_passed_and_never_less(api: Api) -> None:
    set_account(api, active_cue_limit=1, monthly_execution_limit=10)
    for _ in range(3):
        make.cue(api.account)
    usage.add({Account.objects.get(): 25}, now=TENTH)
    answer = api.get("/v1/usage").json()
    assert (answer["cues"]["remaining"], answer["cues"]["percent_used"]) == (0, 300)
    assert (answer["executions"]["remaining"], answer["executions"]["percentage"]) == (0, 250.0)


@pytest.mark.parametrize("limit", [0, 1_000_000_000])
def test_no_limit_is_never_used_up(api: Api, limit: int) -> None:
    set_account(api, monthly_execution_limit=limit, active_cue_limit=0)
    usage.add({Account.objects.get(): 25}, now=TENTH)
    answer = api.get("/v1/usage")
    executions = answer.json()["executions"]
    assert (executions["limit"], executions["remaining"]) == (1_000_000_000, 1_000_000_000 - 25)
    assert (executions["percent_used"], executions["percentage"], executions["will_exceed_limit"]) == (0, 0.0, False)
    assert answer.json()["cues"] == {"used": 0, "active": 0, "limit": 0, "remaining": 0, "percent_used": 0}
    assert "X-CueAPI-Usage-Warning" not in answer.headers
    assert api.get("/v1/auth/me").json()["monthly_execution_limit"] == 1_000_000_000


def test_another_accounts_use_is_its_own(api: Api, stranger: Api) -> None:
    cue = make.cue(api.account)
    make.execution(cue, status="success", outcome_success=True, outcome_recorded_at=TENTH)
    usage.add({Account.objects.get(pk=api.account.pk): 5}, now=TENTH)
    answer = stranger.get("/v1/usage").json()
    assert (answer["cues"]["used"], answer["executions"]["used"], answer["outcomes"]["reported"]) == (0, 0, 0)


def test_usage_needs_a_key(anyone: Api) -> None:
    refused(anyone.get("/v1/usage"), 401, "invalid_api_key")


def test_whether_alerts_are_mailed_is_a_setting_of_the_account(api: Api) -> None:
    assert api.get("/v1/auth/me").json()["alert_email"] is True
    assert api.patch("/v1/auth/me", {"alert_email": False}).status_code == 200
    assert api.get("/v1/auth/me").json()["alert_email"] is False
    refused(api.patch("/v1/auth/me", {"alert_email": "no"}), 422, "validation_error", "body.alert_email")
    refused(api.patch("/v1/auth/me", {"alert_email": None}), 422, "no_fields")


# --- Fires by hand ----------------------------------------------------------------------------------------------


def test_fires_by_hand_may_be_limited_by_the_hour(api: Api, stranger: Api, settings: Any) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"fire_limit_per_hour": 2})
    path = f"/v1/cues/{make.cue(api.account).pk}/fire"
    refused(api.post(path, {"send_at": "soon"}), 422, "validation_error")  # does not count
    assert [api.post(path).status_code for _ in range(2)] == [200, 200]
    answer = api.post(path)
    refused(answer, 429, "rate_limit_exceeded")
    assert answer.headers["Retry-After"] == "3600"
    assert stranger.post(f"/v1/cues/{make.cue(stranger.account).pk}/fire").status_code == 200
    with time_machine.travel(TENTH.replace(hour=13), tick=False):
        assert api.post(path).status_code == 200


def test_fires_by_hand_are_not_limited_unless_the_operator_says_so(api: Api) -> None:
    path = f"/v1/cues/{make.cue(api.account).pk}/fire"
    assert {api.post(path).status_code for _ in range(15)} == {200}
    assert not MonthlyUsage.objects.exists()
