"""A POST sent twice under one Idempotency-Key is carried out once, however the two meet."""

from datetime import timedelta
from typing import Any

import pytest

from cueapi import clock, idempotency
from cueapi.models import IdempotentCall
from cues.models import Cue
from executions.models import Execution
from tests.support import make
from tests.support.api import Api
from tests.support.together import at_once

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def post(api: Api, path: str, body: Any = None, key: str = "order-17") -> Any:
    return api.post(path, body, idempotency_key=key)


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_a_create_sent_twice_makes_one_cue_and_answers_the_same(api: Api) -> None:
    first, second = (post(api, "/v1/cues", make.body()) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert ("Idempotent-Replayed" in first.headers, second.headers["Idempotent-Replayed"]) == (False, "true")
    assert Cue.objects.count() == 1


def test_a_fire_an_outcome_and_a_replay_happen_once(api: Api) -> None:
    ended = make.execution(make.cue(api.account), status="success")
    for path, body in (
        (f"/v1/cues/{ended.cue_id}/fire", {"payload_override": {"n": 1}}),
        (f"/v1/executions/{ended.pk}/outcome", {"success": True}),
        (f"/v1/executions/{ended.pk}/replay", None),
    ):
        first, second = (post(api, path, body, key=path) for _ in range(2))
        assert (first.status_code, second.status_code, second.json()) == (200, 200, first.json()), path
    assert Execution.objects.count() == 3


def test_the_same_key_for_another_call_or_body_is_a_conflict(api: Api) -> None:
    post(api, "/v1/cues", make.body())
    path = f"/v1/cues/{Cue.objects.get().pk}/fire"
    assert code(post(api, "/v1/cues", make.body(name="other"))) == (409, "idempotency_key_conflict")
    assert code(post(api, path)) == (409, "idempotency_key_conflict")
    assert (Cue.objects.count(), Execution.objects.count()) == (1, 0)


def test_the_order_and_spacing_of_the_body_do_not_matter(api: Api) -> None:
    post(api, "/v1/cues", make.body())
    spaced = b' {"callback" : {"url":"http://127.0.0.1:9/hook"},"schedule": {"cron":"*/5 * * * *","type":"recurring"}, '
    assert post(api, "/v1/cues", spaced + b'"name": "digest"}').status_code == 201
    assert Cue.objects.count() == 1


def test_a_call_that_failed_may_be_mended_under_its_key(api: Api) -> None:
    assert post(api, "/v1/cues", make.body(payload=5)).status_code == 422
    assert post(api, "/v1/cues", make.body()).status_code == 201
    assert IdempotentCall.objects.get().status == 201


def test_accounts_do_not_share_keys(api: Api, stranger: Api) -> None:
    post(api, "/v1/cues", make.body())
    assert post(stranger, "/v1/cues", make.body(name="mine")).json()["name"] == "mine"


def test_after_a_day_a_key_is_free_again(api: Api) -> None:
    post(api, "/v1/cues", make.body())
    IdempotentCall.objects.update(created_at=clock.now() - timedelta(hours=24))
    assert post(api, "/v1/cues", make.body(name="other")).status_code == 201
    assert Cue.objects.count() == 2


def test_old_answers_are_forgotten_and_new_ones_kept(api: Api) -> None:
    for n in range(3):
        post(api, "/v1/cues", make.body(name=f"cue {n}"), key=f"key {n}")
    IdempotentCall.objects.exclude(key="key 2").update(created_at=clock.now() - timedelta(days=2))
    assert idempotency.forget(now=clock.now()) == 2
    assert IdempotentCall.objects.get().key == "key 2"


@pytest.mark.parametrize("key", ["", "  ", "k" * 256, "tab\there"])
def test_what_cannot_be_a_key_is_refused(api: Api, key: str) -> None:
    answer = post(api, "/v1/cues", make.body(), key=key)
    assert code(answer) == (422, "validation_error")
    assert answer.json()["error"]["details"][0]["field"] == "header.Idempotency-Key"
    assert Cue.objects.count() == 0


def test_an_answer_with_a_secret_is_sealed_at_rest(api: Api) -> None:
    path = "/v1/auth/alert-webhook-secret/regenerate"
    first, second = (api.post(path, idempotency_key="k", x_confirm_destructive="true").json() for _ in range(2))
    assert first == second
    stored = IdempotentCall.objects.extra(select={"raw": "body"}).values_list("raw", flat=True)[0]
    assert first["alert_webhook_secret"] not in stored


@pytest.mark.django_db(transaction=True)
def test_of_many_equal_calls_at_once_one_is_carried_out(api: Api) -> None:
    cue = make.recurring(api.account)
    calls = [lambda: post(Api(api.key), f"/v1/cues/{cue.pk}/fire", {"payload_override": {"n": 1}}) for _ in range(8)]
    answers = at_once(calls)
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["id"] for answer in answers} == {str(Execution.objects.get().pk)}


@pytest.mark.django_db(transaction=True)
def test_of_two_different_bodies_at_once_one_is_a_conflict(api: Api) -> None:
    cue = make.recurring(api.account)
    path = f"/v1/cues/{cue.pk}/fire"
    answers = at_once([lambda n=n: post(Api(api.key), path, {"payload_override": {"n": n}}) for n in range(2)])
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert Execution.objects.count() == 1
