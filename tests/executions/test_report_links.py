"""Links that report without a key: good for one purpose, one execution and a time."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.conf import LazySettings

from cueapi import accounts, clock
from executions import report_links
from executions.models import Execution
from tests.support import make
from tests.support.api import Api
from tests.support.make import NOW
from tests.support.receiver import Receiver
from tests.support.worker import Worker

RUN = uuid4()


def token_of(url: str) -> str:
    return url.partition("?token=")[2]


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_a_link_ends_with_its_time(settings: LazySettings) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"report_link_hours": 2})
    token = token_of(report_links.links_of(RUN, now=NOW).outcome_url)
    almost = NOW + timedelta(hours=2, seconds=-1)
    assert report_links.is_valid(token, "outcome", RUN, now=almost)
    assert not report_links.is_valid(token, "outcome", RUN, now=almost + timedelta(seconds=1))


def test_a_link_is_good_for_its_own_purpose_and_execution_only() -> None:
    links = report_links.links_of(RUN, now=NOW)
    assert report_links.is_valid(token_of(links.heartbeat_url), "heartbeat", RUN, now=NOW)
    assert not report_links.is_valid(token_of(links.heartbeat_url), "outcome", RUN, now=NOW)
    assert not report_links.is_valid(token_of(links.outcome_url), "outcome", uuid4(), now=NOW)


@pytest.mark.parametrize(
    "token", ["", ".", "x", "9999999999.", "99999999999999.abc", "-1.abc", "٣.abc", "1.2.3", "\x00.é"]
)
def test_what_this_server_did_not_sign_opens_nothing(token: str) -> None:
    assert not report_links.is_valid(token, "outcome", RUN, now=NOW)


def test_a_later_end_cannot_be_written_into_a_link() -> None:
    token = token_of(report_links.links_of(RUN, now=NOW).outcome_url)
    expires, _, signature = token.partition(".")
    assert not report_links.is_valid(f"{int(expires) + 1}.{signature}", "outcome", RUN, now=NOW)


def test_a_new_secret_key_keeps_the_links_under_way(settings: LazySettings) -> None:
    token = token_of(report_links.links_of(RUN, now=NOW).outcome_url)
    earlier, settings.SECRET_KEY = settings.SECRET_KEY, "another" * 8
    assert not report_links.is_valid(token, "outcome", RUN, now=NOW)
    settings.SECRET_KEY_FALLBACKS = [earlier]
    assert report_links.is_valid(token, "outcome", RUN, now=NOW)


def test_links_stay_out_of_what_is_logged() -> None:
    links = report_links.links_of(RUN, now=NOW)
    assert token_of(links.outcome_url) not in repr(links)


# --- Over HTTP --------------------------------------------------------------------------------------------------


def path_of(url: str, settings: LazySettings) -> str:
    assert url.startswith(settings.CUEAPI.base_url)
    return url.removeprefix(settings.CUEAPI.base_url)


@pytest.mark.django_db(transaction=True)
@pytest.mark.database
def test_a_handler_reports_with_what_came_in_its_delivery(
    api: Api, anyone: Api, receiver: Receiver, worker: Worker, settings: LazySettings
) -> None:
    cue = api.post("/v1/cues", make.body(callback={"url": receiver.url})).json()
    api.post(f"/v1/cues/{cue['id']}/fire")
    worker.run()
    (delivery,) = receiver.received
    accounts.regenerate_webhook_secret(api.account, now=clock.now())
    api.post("/v1/auth/key/regenerate", x_confirm_destructive="true")
    url = path_of(delivery.headers["X-CueAPI-Outcome-Url"], settings)
    assert anyone.post(url, {"success": True, "result": "done"}).json()["outcome_state"] == "reported_success"
    assert Execution.objects.get().outcome_result == "done"
    assert code(anyone.post(url, {"success": True})) == (409, "outcome_already_recorded")


@pytest.mark.django_db
@pytest.mark.database
def test_a_link_opens_nothing_else(api: Api, anyone: Api, settings: LazySettings) -> None:
    mine, other = (make.execution(make.cue(api.account)) for _ in range(2))
    token = token_of(report_links.links_of(mine.pk, now=clock.now()).outcome_url)
    for path, method in (
        (f"/v1/executions/{other.pk}/outcome", "POST"),
        ("/v1/executions/nonsense/outcome", "POST"),
    ):
        assert code(anyone.send(method, f"{path}?token={token}", {"success": True})) == (401, "invalid_token")
    for path, method in (
        (f"/v1/executions/{mine.pk}", "GET"),
        (f"/v1/executions/{mine.pk}/evidence", "PATCH"),
        (f"/v1/executions/{mine.pk}/replay", "POST"),
        ("/v1/executions", "GET"),
    ):
        assert code(anyone.send(method, f"{path}?token={token}", {})) == (401, "invalid_api_key")
    assert not Execution.objects.exclude(outcome_recorded_at=None).exists()


@pytest.mark.django_db
@pytest.mark.database
def test_the_link_of_a_deleted_execution_finds_nothing_and_an_inactive_account_s_is_shut(api: Api, anyone: Api) -> None:
    execution = make.execution(make.cue(api.account))
    token = token_of(report_links.links_of(execution.pk, now=clock.now()).outcome_url)
    path = f"/v1/executions/{execution.pk}/outcome?token={token}"
    api.account.is_active = False
    api.account.save()
    assert code(anyone.post(path, {"success": True})) == (401, "invalid_api_key")
    execution.delete()
    assert code(anyone.post(path, {"success": True})) == (404, "execution_not_found")
