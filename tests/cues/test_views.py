"""The doors of cues: listing, pausing, deleting, and the profile that counts them (contract 3.5 and 2.2)."""

from datetime import timedelta
from typing import Any

import pytest

from cues.models import Cue
from tests.support import make
from tests.support.api import Api
from tests.support.make import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def listed(api: Api, **query: Any) -> list[str]:
    answer = api.get("/v1/cues", **query)
    assert answer.status_code == 200, answer.content
    return [cue["id"] for cue in answer.json()["cues"]]


def test_the_newest_come_first_fifty_by_default(api: Api) -> None:
    ids = [make.cue(api.account, created_at=NOW + timedelta(seconds=n)).pk for n in range(52)]
    answer = api.get("/v1/cues").json()
    assert [cue["id"] for cue in answer["cues"]] == ids[:1:-1]
    assert (answer["total"], answer["limit"], answer["offset"]) == (52, 50, 0)
    assert listed(api, limit=2, offset=51) == ids[:1]
    assert listed(api, offset=99) == []


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 101}, {"limit": "x"}, {"offset": -1}])
def test_a_page_out_of_bounds_is_a_422(api: Api, query: dict) -> None:
    assert api.get("/v1/cues", **query).status_code == 422


def test_a_status_filters_and_an_unknown_one_finds_nothing(api: Api) -> None:
    active = make.cue(api.account)
    paused = make.cue(api.account, status="paused", next_run=None)
    assert listed(api, status="active") == [active.pk]
    assert listed(api, status="paused") == [paused.pk]
    assert listed(api, status="resting\x00") == []


def test_a_list_costs_the_same_for_many_cues(api: Api, django_assert_max_num_queries) -> None:
    for _ in range(30):
        make.recurring(api.account)
    with django_assert_max_num_queries(5):  # the key, its last use, the count, the page
        api.get("/v1/cues")


def test_pause_and_resume_have_paths_of_their_own(api: Api) -> None:
    path = f"/v1/cues/{make.recurring(api.account).pk}"
    for _ in range(2):
        assert api.post(f"{path}/pause").json()["status"] == "paused"
    for _ in range(2):
        assert api.post(f"{path}/resume").json()["status"] == "active"


def test_a_finished_cue_is_not_paused(api: Api) -> None:
    done = make.cue(api.account, status="completed", next_run=None)
    assert api.post(f"/v1/cues/{done.pk}/pause").status_code == 400
    assert Cue.objects.get().status == "completed"


def test_delete_answers_without_a_body(api: Api) -> None:
    answer = api.delete(f"/v1/cues/{make.cue(api.account).pk}")
    assert (answer.status_code, answer.content) == (204, b"")


def test_a_patch_of_anothers_cue_is_a_404_before_its_body_is_judged(api: Api, stranger: Api) -> None:
    cue = make.cue(api.account)
    assert stranger.patch(f"/v1/cues/{cue.pk}", {"transport": "worker"}).status_code == 404


def test_the_profile_counts_active_cues_and_this_months_executions(api: Api) -> None:
    make.cue(api.account)
    make.cue(api.account, status="paused", next_run=None)
    me = api.get("/v1/auth/me").json()
    assert (me["email"], me["active_cues"], me["executions_this_month"]) == ("ada@example.org", 1, 0)
    assert me["api_key_prefix"] == api.key[:12]
    assert (me["plan"], me["has_webhook_secret"], me["alert_webhook_url"]) == ("unlimited", True, None)


# --- Deleting many ----------------------------------------------------------------------------------------------


def bulk_delete(api: Api, ids: Any, confirm: str = "true") -> Any:
    return api.post("/v1/cues/bulk-delete", {"ids": ids}, x_confirm_destructive=confirm)


def test_many_cues_are_deleted_each_on_its_own(api: Api, stranger: Api) -> None:
    mine = [make.recurring(api.account).pk for _ in range(3)]
    foreign = make.recurring(stranger.account).pk
    ids = [mine[2], foreign, mine[0], "cue_000000000000", mine[2], "\u2603" * 200]
    answer = bulk_delete(api, ids)
    assert (answer.status_code, answer.json()) == (
        200,
        {"deleted": [mine[2], mine[0]], "skipped": [foreign, "cue_000000000000", mine[2], "\u2603" * 200]},
    )
    assert set(Cue.objects.values_list("pk", flat=True)) == {mine[1], foreign}


@pytest.mark.parametrize("ids", [[], ["cue_000000000000"] * 101, [5], "cue_000000000000", None, {}])
def test_a_wrong_list_of_ids_deletes_nothing(api: Api, ids: Any) -> None:
    cue = make.cue(api.account)
    assert bulk_delete(api, ids).status_code == 422
    assert Cue.objects.filter(pk=cue.pk).exists()


def test_deleting_many_wants_to_be_confirmed(api: Api) -> None:
    cue = make.cue(api.account)
    answer = bulk_delete(api, [cue.pk], confirm="no")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "confirmation_required")
    assert Cue.objects.filter(pk=cue.pk).exists()
