"""Creating, changing and deleting cues: which check answers first, and what holds when many ask at once."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from cueapi import clock
from cues import services
from cues.models import Cue
from executions import firing
from executions.models import Execution
from tests.support import make
from tests.support.api import Api, api_of_new_account
from tests.support.make import NOW, NOWHERE
from tests.support.together import at_once

pytestmark = [pytest.mark.django_db, pytest.mark.database]

ONCE = {"type": "once", "at": "2040-01-01T00:00:00Z"}
FORBIDDEN = "http://10.0.0.1/hook"


def code(answer: Any) -> tuple[int, str | None]:
    return answer.status_code, answer.json().get("error", {}).get("code")


def create(api: Api, **fields: Any) -> Any:
    return api.post("/v1/cues", make.body(**fields))


def limit(api: Api, most: int) -> None:
    assert api.account is not None
    api.account.active_cue_limit = most
    api.account.save()


# --- Which check answers first (contract 3.2) -------------------------------------------------------------------

WRONG: list[tuple[dict[str, Any], tuple[int, str]]] = [
    ({"retry": {"max_attempts": 11}}, (422, "validation_error")),
    ({"on_success_fire": "cue_000000000000"}, (422, "validation_error")),
    ({"name": "taken"}, (409, "duplicate_cue_name")),
    ({}, (403, "cue_limit_exceeded")),
    ({"callback": {"url": FORBIDDEN}}, (400, "invalid_callback_url")),
    ({"schedule": {"type": "recurring", "cron": "* * * * *", "timezone": "Mars/Base"}}, (422, "invalid_timezone")),
    ({"schedule": {"type": "once", "at": "2001-01-01T00:00:00Z"}}, (400, "invalid_schedule")),
    ({"on_failure": {"webhook": FORBIDDEN}}, (400, "invalid_callback_url")),
]


@pytest.mark.parametrize("first", range(len(WRONG)))
def test_the_first_failing_check_answers(api: Api, first: int) -> None:
    create(api, name="taken")
    if first <= 3:
        limit(api, 1)
    fields: dict[str, Any] = {}
    for wrong, _ in reversed(WRONG[first:]):
        fields |= wrong  # an earlier check's fields replace a later one's
    assert code(create(api, **{"name": "free"} | fields)) == WRONG[first][1]
    assert Cue.objects.count() == 1


def test_a_payload_that_is_stored_longer_than_it_was_sent_obeys_the_limit(api: Api) -> None:
    numbers = ",".join(["1e15"] * 200_000)  # stored as 1000000000000000.0
    body = json.dumps(make.body(payload={"n": "N"})).replace('"N"', f"[{numbers}]")
    assert code(api.post("/v1/cues", body.encode())) == (400, "invalid_payload_size")


def test_a_forbidden_failure_webhook_says_which_url_it_is(api: Api) -> None:
    answer = create(api, on_failure={"webhook": FORBIDDEN})
    assert answer.json()["error"]["message"].startswith("on_failure.webhook:")


# --- Names ------------------------------------------------------------------------------------------------------


def test_lenient_one_shots_share_a_name_and_take_none(api: Api) -> None:
    lenient = {"type": "one-time", "at": None}
    first, second = (create(api, schedule=lenient).json() for _ in range(2))
    assert first["id"] != second["id"]
    assert create(api).status_code == 201
    assert create(api, schedule=lenient).status_code == 201
    assert code(create(api, schedule=ONCE)) == (409, "duplicate_cue_name")


def test_the_same_name_in_another_account_is_free(api: Api, stranger: Api) -> None:
    assert [create(who).status_code for who in (api, stranger)] == [201, 201]


def test_a_renamed_cue_must_not_take_anothers_name(api: Api) -> None:
    create(api, name="a")
    other = create(api, name="b").json()["id"]
    assert code(api.patch(f"/v1/cues/{other}", {"name": "a"})) == (409, "duplicate_cue_name")
    assert api.patch(f"/v1/cues/{other}", {"name": "b"}).status_code == 200


def test_a_lenient_cue_that_becomes_recurring_must_have_a_free_name(api: Api) -> None:
    create(api)
    twin = create(api, schedule={"type": "one-time", "at": "2040-01-01T00:00:00Z"}).json()["id"]
    recurring = {"schedule": {"type": "recurring", "cron": "* * * * *"}}
    assert code(api.patch(f"/v1/cues/{twin}", recurring)) == (409, "duplicate_cue_name")
    assert api.patch(f"/v1/cues/{twin}", recurring | {"name": "free"}).status_code == 200


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("most", [1, 10])
def test_two_creates_of_one_name_at_once_are_a_201_and_a_409(most: int) -> None:
    api = api_of_new_account("ada@example.org")
    limit(api, most)
    answers = at_once([lambda: code(create(api))] * 2)
    assert sorted(answers, key=str) == [(201, None), (409, "duplicate_cue_name")]


# --- The limit --------------------------------------------------------------------------------------------------


def test_active_and_paused_cues_count_and_finished_ones_do_not(api: Api) -> None:
    limit(api, 2)
    owner = api.account
    make.cue(owner, status="completed", next_run=None)
    make.cue(owner, status="failed", next_run=None)
    make.cue(owner, status="paused", next_run=None)
    assert create(api).status_code == 201
    refusal = create(api, name="one too many")
    assert code(refusal) == (403, "cue_limit_exceeded")
    assert " 2 " in refusal.json()["error"]["message"]


def test_quotas_can_be_switched_off(api: Api, settings) -> None:
    limit(api, 0)
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"disable_quota_enforcement": True})
    assert create(api).status_code == 201


def test_a_finished_cue_needs_a_free_place_to_come_back(api: Api) -> None:
    limit(api, 1)
    done = make.cue(api.account, status="completed", next_run=None)
    create(api)
    back = {"status": "active", "schedule": ONCE}
    assert code(api.patch(f"/v1/cues/{done.pk}", back)) == (403, "cue_limit_exceeded")
    limit(api, 2)
    assert api.patch(f"/v1/cues/{done.pk}", back).json()["status"] == "active"


@pytest.mark.django_db(transaction=True)
def test_fifty_creates_at_once_at_a_limit_of_ten_make_ten() -> None:
    api = api_of_new_account("ada@example.org")
    limit(api, 10)
    answers = at_once([lambda n=n: create(api, name=f"cue {n}").status_code for n in range(50)])
    assert sorted(answers) == [201] * 10 + [403] * 40
    assert Cue.objects.count() == 10


# --- Other promises ---------------------------------------------------------------------------------------------


def test_a_cue_for_now_is_announced_with_its_creation(api: Api, django_capture_on_commit_callbacks) -> None:
    with django_capture_on_commit_callbacks() as queued:
        create(api, schedule=ONCE)
    assert queued == []
    with django_capture_on_commit_callbacks() as queued:
        create(api, schedule={"type": "one-time"})
    assert len(queued) == 1


def test_a_chain_target_is_another_cue_of_the_same_account(api: Api, stranger: Api) -> None:
    target = create(api, name="target").json()["id"]
    foreign = create(stranger).json()["id"]
    chained = create(api, on_success_fire=target)
    assert chained.json()["on_success_fire"] == target
    path = f"/v1/cues/{chained.json()['id']}"
    for wrong in (foreign, chained.json()["id"], "nonsense"):
        assert code(api.patch(path, {"on_success_fire": wrong})) == (422, "validation_error")
    assert api.patch(path, {"on_success_fire": None}).json()["on_success_fire"] is None


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"transport": "worker", "callback": None}, "No active workers"),
        ({"callback": {"url": "https://nowhere.example.com/x"}}, "nowhere.example.com does not resolve"),
        ({"schedule": {"type": "one-time", "at": "2024-01-01T00:00:00Z"}}, "in the past"),
        ({}, None),
    ],
)
def test_warnings_come_with_the_create_answer_only(api: Api, fields: dict, part: str | None) -> None:
    answer = create(api, **fields)
    assert answer.status_code == 201
    warning = answer.json()["warning"]
    assert (part in warning) if part else (warning is None)
    assert api.get(f"/v1/cues/{answer.json()['id']}").json()["warning"] is None


def test_a_patch_keeps_what_a_delivery_counted_meanwhile(api: Api) -> None:
    cue = make.recurring(api.account)
    stale = services.find(cue.account, cue.pk)
    Cue.objects.filter(pk=cue.pk).update(run_count=7, last_run=NOW)
    services.update(stale.account, cue.pk, {"description": "new"}, now=clock.now())
    cue.refresh_from_db()
    assert (cue.run_count, cue.last_run, cue.description) == (7, NOW, "new")


def test_deleting_takes_the_executions_along(api: Api) -> None:
    cue = make.recurring(api.account)
    execution = make.execution(cue)
    assert api.delete(f"/v1/cues/{cue.pk}").status_code == 204
    assert not Execution.objects.exists()
    assert code(api.post(f"/v1/executions/{execution.pk}/outcome", {"success": True})) == (404, "execution_not_found")
    assert code(api.delete(f"/v1/cues/{cue.pk}")) == (404, "cue_not_found")


@pytest.mark.django_db(transaction=True)
def test_a_cue_can_be_deleted_while_it_fires() -> None:
    owner = make.account()
    for _ in range(10):
        cue = make.recurring(owner, callback_url=NOWHERE)
        fires = [lambda n=n, cue=cue: firing.fire_due([cue.pk], now=NOW + n * timedelta(minutes=5)) for n in range(3)]
        results = at_once([*fires, lambda cue=cue: services.delete(cue, now=NOW)])
        assert all(isinstance(result, int) for result in results[:3]), results
        assert results[3] is True
        assert (Cue.objects.count(), Execution.objects.count()) == (0, 0)
    connection.check_constraints()


@pytest.mark.django_db(transaction=True)
def test_patches_at_once_lose_nothing_of_each_other() -> None:
    api = api_of_new_account("ada@example.org")
    path = f"/v1/cues/{create(api).json()['id']}"
    bodies = [{"description": "d"}, {"payload": {"p": 1}}, {"retry": {"max_attempts": 7}}, {"catch_up": "skip_missed"}]
    assert at_once([lambda body=body: api.patch(path, body).status_code for body in bodies]) == [200] * 4
    cue = api.get(path).json()
    assert (cue["description"], cue["payload"], cue["retry"]["max_attempts"]) == ("d", {"p": 1}, 7)
    assert cue["catch_up"] == "skip_missed"


@pytest.mark.django_db(transaction=True)
def test_a_cue_that_is_fired_without_a_pause_can_be_deleted(api: Api) -> None:
    cue = make.recurring(api.account)
    path = f"/v1/cues/{cue.pk}"

    def fire_until_gone() -> int:
        for n in range(200):
            if Api(api.key).post(f"{path}/fire").status_code == 404:
                return n
        return 200

    answers = at_once([*[fire_until_gone] * 4, lambda: Api(api.key).delete(path).status_code])
    assert answers[-1] == 204, answers
    assert not Cue.objects.exists()
