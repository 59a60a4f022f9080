"""Dead letters: the list and its filters, replays one by one, and in bulk each dead letter once."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import chain
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction

from cueapi import clock
from cueapi.errors import BadRequest
from cues import services
from cues.models import Cue
from executions import birth, dead_letters, firing, recovery
from executions.dead_letters import Filters, Order
from executions.firing import ReplayOf
from executions.models import Execution, Step
from executions.states import FAILURE, Status
from tests.support import make
from tests.support.api import Api
from tests.support.deadline import eventually
from tests.support.envelope import refused
from tests.support.held import somebody_waits_for_a_row
from tests.support.make import NOW
from tests.support.receiver import Receiver
from tests.support.together import at_once
from tests.support.worker import Worker

pytestmark = [pytest.mark.django_db, pytest.mark.database]

MINUTE = timedelta(minutes=1)
LIST, REPLAY = "/v1/dead-letters", "/v1/dead-letters/replay"


def dead(cue: Cue, at: int = 0, **columns: Any) -> Execution:
    """An execution that failed `at` minutes after NOW."""
    return make.execution(cue, **{"status": Status.FAILED, "closed_at": NOW + at * MINUTE} | columns)


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [letter["id"] for letter in answer.json()["dead_letters"]]


def names(*executions: Execution) -> list[str]:
    return [str(execution.pk) for execution in executions]


# --- The list ---------------------------------------------------------------------------------------------------


def test_every_failure_is_listed_and_nothing_else(api: Api) -> None:
    cue = make.cue(api.account)
    for number, status in enumerate(Status):
        make.execution(cue, status=status, **({"closed_at": NOW + number * MINUTE} if status in FAILURE else {}))
    answer = api.get(LIST).json()
    assert [letter["status"] for letter in answer["dead_letters"]] == ["outcome_timeout", "missed", "failed"]
    assert {name: answer[name] for name in ("total", "limit", "offset", "has_more")} == {
        "total": 3,
        "limit": 20,
        "offset": 0,
        "has_more": False,
    }


def test_an_item_is_the_execution_with_why_and_when_it_ended(api: Api) -> None:
    run = dead(make.cue(api.account), error_class="http_5xx", http_status=502)
    (item,) = api.get(LIST).json()["dead_letters"]
    (listed,) = api.get("/v1/executions").json()["executions"]
    end = {"error_class": "http_5xx", "closed_at": "2031-05-04T09:00:00Z", "replays": []}
    assert item == listed | end | {"handled_at": None, "handled_by": None}
    detail = api.get(f"/v1/executions/{run.pk}").json()
    assert item.items() <= detail.items()


def test_pages_have_each_dead_letter_once_the_newest_end_first(api: Api) -> None:
    cue = make.cue(api.account)
    made = [dead(cue, at) for at in (3, 1, 2, 2, 2)]
    in_order = sorted(made, key=lambda run: (run.closed_at, run.pk), reverse=True)
    pages = [api.get(LIST, limit=2, offset=offset) for offset in (0, 2, 4)]
    assert [*chain.from_iterable(map(ids, pages))] == names(*in_order)
    assert [page.json()["has_more"] for page in pages] == [True, True, False]


def test_a_stranger_sees_and_replays_none_of_them(api: Api, stranger: Api) -> None:
    run = dead(make.cue(api.account))
    assert ids(stranger.get(LIST)) == []
    assert ids(stranger.get(LIST, cue_id=run.cue_id)) == []
    for body in ({}, {"execution_ids": names(run)}):
        assert stranger.post(REPLAY, body).json()["replayed"] == 0
    taken, missing = (stranger.post(REPLAY, {"cue_id": cue_id}) for cue_id in (run.cue_id, "cue_000000000000"))
    refused(taken, 404, "cue_not_found")
    assert taken.json() == missing.json()
    by_id = [stranger.post(REPLAY, {"execution_ids": [str(pk)]}).json() for pk in (run.pk, uuid4())]
    assert by_id[0] == by_id[1]
    assert Execution.objects.count() == 1


@pytest.fixture
def letters(api: Api) -> dict[str, Execution]:
    """Of two cues, an hour apart, of two classes; "old" was replayed."""
    first, second = make.cue(api.account), make.cue(api.account)
    made = {
        "old": dead(first, error_class="timeout"),
        "middle": dead(first, 60, error_class="http_5xx"),
        "new": dead(second, 120, error_class="timeout", status=Status.FAILED),
    }
    firing.replay(made["old"], now=NOW + MINUTE)
    return made


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["new", "middle", "old"]),
        ({"error_class": "timeout"}, ["new", "old"]),
        ({"error_class": "dns"}, []),
        ({"since": "2031-05-04T10:00:00Z"}, ["new", "middle"]),
        ({"until": "2031-05-04T10:00:00Z"}, ["old"]),
        ({"since": "2031-05-04T12:00:00+02:00", "until": "2031-05-04T11:00:00.000001Z"}, ["new", "middle"]),
        ({"replayed": "true"}, ["old"]),
        ({"replayed": "FALSE"}, ["new", "middle"]),
        ({"cue_id": "first"}, ["middle", "old"]),
        ({"cue_id": "first", "error_class": "timeout", "replayed": "true"}, ["old"]),
        ({"cue_id": "cue_000000000000"}, []),
        ({"cue_id": "\x00"}, []),
    ],
)
def test_filters(api: Api, letters: dict[str, Execution], query: dict[str, str], expected: list[str]) -> None:
    if query.get("cue_id") == "first":
        query = query | {"cue_id": letters["old"].cue_id}
    assert ids(api.get(LIST, **query)) == names(*(letters[name] for name in expected))
    assert api.get(LIST, **query).json()["total"] == len(expected)


@pytest.mark.parametrize(
    "query", [{"error_class": "Timeout"}, {"since": "yesterday"}, {"until": ""}, {"replayed": "1"}, {"limit": "101"}]
)
def test_a_filter_that_cannot_be_read_is_a_422(api: Api, query: dict[str, str]) -> None:
    refused(api.get(LIST, **query), 422, "validation_error", f"query.{next(iter(query))}")


def test_lineage_leads_both_ways_and_shows_the_newest_ten(api: Api) -> None:
    original = dead(make.cue(api.account))
    replays = [firing.replay(original, now=NOW + at * MINUTE) for at in range(12)]
    newest = names(*reversed(replays))[:10]
    (item,) = api.get(LIST).json()["dead_letters"]
    assert item["replays"] == api.get(f"/v1/executions/{original.pk}").json()["replays"] == newest
    detail = api.get(f"/v1/executions/{newest[0]}").json()
    assert (detail["replayed_from"], detail["replays"], detail["error_class"]) == (str(original.pk), [], None)


def test_the_list_costs_the_same_number_of_queries_however_long_it_is(
    api: Api, django_assert_max_num_queries: Any
) -> None:
    cue = make.cue(api.account)
    for at in range(30):
        firing.replay(dead(cue, at), now=NOW)
    with django_assert_max_num_queries(8):
        assert len(ids(api.get(LIST, limit=30))) == 30


# --- One by one -------------------------------------------------------------------------------------------------


def changed_since(api: Api, **columns: Any) -> Execution:
    """A dead letter whose cue has another payload and other criteria now."""
    cue = make.recurring(api.account, payload={"v": 2}, required_assertions=["checked"], **columns)
    return dead(cue, payload={"v": 1}, exit_criteria=["sent"])


@pytest.mark.parametrize(
    ("body", "payload", "criteria"),
    [
        (None, {"v": 1}, {"sent"}),
        ({}, {"v": 1}, {"sent"}),
        ({"definition": None}, {"v": 1}, {"sent"}),
        ({"definition": "as_sent"}, {"v": 1}, {"sent"}),
        ({"definition": "current"}, {"v": 2}, {"checked"}),
    ],
)
def test_a_replay_is_as_sent_or_as_the_cue_is_now(api: Api, body: Any, payload: dict, criteria: set[str]) -> None:
    original = changed_since(api)
    answer = api.post(f"/v1/executions/{original.pk}/replay", body).json()
    replay = Execution.objects.get(pk=answer["id"])
    assert (replay.payload, replay.criteria) == (payload, criteria)
    assert (answer["replayed_from"], answer["triggered_by"], answer["status"]) == (
        str(original.pk),
        "replay",
        "pending",
    )
    assert list(Step.objects.filter(execution=replay).values_list("after", "reason")) == [
        ("pending", "replayed by hand")
    ]


def test_a_replay_goes_where_its_cue_points_now(api: Api) -> None:
    original = dead(make.recurring(api.account))
    cue = Cue.objects.get()
    services.update(api.account, cue.pk, {"callback": {"url": "http://127.0.0.1:10/new"}}, now=NOW)
    replay = firing.replay(original, now=NOW)
    assert replay.lane == "http://127.0.0.1:10"
    Cue.objects.update(transport="worker", lane="", callback_url="")
    assert firing.replay(Execution.objects.get(pk=original.pk), now=NOW).transport == "worker"


@pytest.mark.parametrize("body", [{"definition": "newest"}, {"definition": 1}, {"definition": ["as_sent"]}])
def test_a_definition_that_is_none_is_a_422(api: Api, body: dict) -> None:
    original = changed_since(api)
    refused(api.post(f"/v1/executions/{original.pk}/replay", body), 422, "validation_error", "body.definition")
    refused(api.post(REPLAY, body), 422, "validation_error", "body.definition")
    assert Execution.objects.count() == 1


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        ({"require_payload_override": True}, "payload_override_required"),
        ({"required_payload_keys": ["order"]}, "missing_required_payload_keys"),
    ],
)
def test_a_payload_that_its_cue_would_not_fire_with_is_not_replayed_either(api: Api, columns: dict, code: str) -> None:
    original = changed_since(api, **columns)
    path = f"/v1/executions/{original.pk}/replay"
    assert refused(api.post(path, {"definition": "current"}), 400, code)["where"] == "body.definition"
    bulk = api.post(REPLAY, {"definition": "current"}).json()
    assert (bulk["matched"], bulk["replayed"], bulk["skipped_because"]) == (1, 0, {code: 1})
    assert Execution.objects.count() == 1
    assert api.post(path).status_code == 200


def test_those_that_cannot_be_replayed_are_in_nobodys_way(api: Api) -> None:
    asking = changed_since(api, require_payload_override=True)
    other = dead(make.cue(api.account), at=5)
    first = api.post(REPLAY, {"definition": "current", "limit": 1}).json()
    assert (first["replayed"], first["skipped"], first["has_more"]) == (1, 1, False)
    assert Execution.objects.get(pk=first["execution_ids"][0]).replayed_from == other
    assert not asking.replays.exists()


# --- Many at once -----------------------------------------------------------------------------------------------


def replay(cue: Cue, **order: Any) -> dead_letters.Report:
    return dead_letters.replay(cue.account, Order(**order), now=NOW)


def test_the_oldest_are_replayed_each_once(api: Api) -> None:
    cue = make.cue(api.account)
    made = [dead(cue, at) for at in (2, 0, 1)]
    first = api.post(REPLAY, {"limit": 2}).json()
    assert {name: first[name] for name in ("matched", "replayed", "skipped", "skipped_because", "has_more")} == {
        "matched": 3,
        "replayed": 2,
        "skipped": 0,
        "skipped_because": {},
        "has_more": True,
    }
    replays = Execution.objects.filter(pk__in=first["execution_ids"])
    assert set(replays.values_list("replayed_from", flat=True)) == {made[1].pk, made[2].pk}
    second, third = (api.post(REPLAY, {"limit": 2}).json() for _ in range(2))
    assert (second["matched"], second["replayed"], second["has_more"]) == (1, 1, False)
    assert (third["matched"], third["replayed"], third["execution_ids"]) == (0, 0, [])
    assert Execution.objects.filter(triggered_by="replay").count() == 3


def test_each_replay_has_its_own_originals_payload_and_criteria() -> None:
    cue = make.cue(make.account(), payload={"now": "edited"})
    made = {dead(cue, n, payload={"n": n}, exit_criteria=[str(n)] if n else None).pk: n for n in range(3)}
    report = replay(cue)
    for run in Execution.objects.filter(pk__in=report.made):
        n = made[run.replayed_from_id]
        assert (run.payload, run.exit_criteria) == ({"n": n}, [str(n)] if n else None)
        assert (run.status, run.due_at, run.scheduled_for, run.attempts) == ("pending", NOW, NOW, 0)
    assert [step.after for step in Step.objects.filter(execution__in=report.made)] == ["pending"] * 3


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, ["middle", "new"]),
        ({"error_class": "timeout"}, ["new"]),
        ({"until": "2031-05-04T11:00:00Z"}, ["middle"]),
        ({"since": "2031-05-04T11:00:00Z"}, ["new"]),
        ({"cue_id": "first"}, ["middle"]),
        ({"include_replayed": True}, ["old", "middle", "new"]),
        ({"include_replayed": True, "cue_id": "first", "error_class": "timeout"}, ["old"]),
        ({"execution_ids": ["new", "middle"]}, ["middle", "new"]),
        ({"execution_ids": []}, []),
        (dict.fromkeys(("cue_id", "error_class", "since", "until", "limit")), ["middle", "new"]),
        (dict.fromkeys(("execution_ids", "definition", "dry_run", "include_replayed")), ["middle", "new"]),
    ],
)
def test_a_bulk_replay_takes_what_its_filters_let_through(
    api: Api, letters: dict[str, Execution], body: dict[str, Any], expected: list[str]
) -> None:
    if body.get("cue_id"):
        body = body | {"cue_id": letters["old"].cue_id}
    if body.get("execution_ids"):
        body = body | {"execution_ids": names(*(letters[name] for name in body["execution_ids"]))}
    assert api.post(REPLAY, body | {"dry_run": True}).json()["matched"] == len(expected)
    assert Execution.objects.count() == 4
    answer = api.post(REPLAY, body).json()
    assert answer["replayed"] == answer["matched"] == len(expected)
    made = Execution.objects.filter(pk__in=answer["execution_ids"])
    assert {run.replayed_from for run in made} == {letters[name] for name in expected}


def test_a_dry_run_says_the_same_and_replays_nothing(api: Api) -> None:
    cue = make.cue(api.account)
    for at in range(3):
        dead(cue, at)
    answer = api.post(REPLAY, {"dry_run": True, "limit": 2}).json()
    assert (answer["matched"], answer["replayed"], answer["execution_ids"], answer["has_more"]) == (3, 0, [], True)
    assert Execution.objects.count() == 3


def test_each_execution_that_is_named_and_not_replayed_has_its_reason(
    api: Api, stranger: Api, letters: dict[str, Execution]
) -> None:
    theirs = dead(make.cue(stranger.account))
    done = make.execution(letters["old"].cue, status=Status.SUCCESS)
    going = Execution.objects.get(replayed_from=letters["old"])
    named = [*names(theirs, done, going, *letters.values()), str(uuid4()), "nonsense", f"exec_{letters['new'].pk}"]
    answer = api.post(REPLAY, {"execution_ids": named, "error_class": "timeout"}).json()
    assert (answer["matched"], answer["replayed"], answer["skipped"]) == (1, 1, 7)
    assert answer["skipped_because"] == {"already_replayed": 1, "filtered_out": 1, "not_failed": 2, "not_found": 3}


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"limit": 0}, "body.limit"),
        ({"limit": 1001}, "body.limit"),
        ({"limit": True}, "body.limit"),
        ({"error_class": "Timeout"}, "body.error_class"),
        ({"cue": "cue_1"}, "body.cue"),
        ({"replayed": False}, "body.replayed"),
        ({"since": "soon"}, "body.since"),
        ({"until": 5}, "body.until"),
        ({"execution_ids": "all"}, "body.execution_ids"),
        ({"execution_ids": [None]}, "body.execution_ids.0"),
        ({"execution_ids": ["x"] * 1001}, "body.execution_ids"),
        ({"dry_run": "yes"}, "body.dry_run"),
        ({"cue_id": "c" * 65}, "body.cue_id"),
        ([], "body"),
    ],
)
def test_a_body_that_cannot_be_read_replays_nothing(api: Api, body: Any, where: str) -> None:
    dead(make.cue(api.account))
    refused(api.post(REPLAY, body), 422, "validation_error", where)
    assert Execution.objects.count() == 1


def test_a_filter_in_the_query_is_not_taken_for_none(api: Api) -> None:
    dead(make.cue(api.account))
    refused(api.post(f"{REPLAY}?cue_id=cue_000000000000"), 422, "validation_error", "query.cue_id")
    assert Execution.objects.count() == 1


def test_a_cue_that_was_deleted_is_told_of(api: Api) -> None:
    error = refused(api.post(REPLAY, {"cue_id": "cue_000000000000"}), 404, "cue_not_found")
    assert error["where"] == "body.cue_id"


def test_an_account_past_its_month_is_told_so_before_anything_fails_again(api: Api) -> None:
    dead(make.cue(api.account))
    make.over_month(api.account, now=clock.now())
    for body in ({}, {"dry_run": True}):
        refused(api.post(REPLAY, body), 403, "execution_limit_exceeded")
    assert Execution.objects.count() == 1


def test_more_than_a_batch_goes_in_several_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters, "BATCH", 2)
    cues = [make.cue(make.account()), make.cue(make.account("grace@example.org"))]
    twin = make.cue(cues[0].account)
    made = {dead(cue, at).pk for at in range(3) for cue in (cues[0], twin)}
    dead(cues[1])
    report = replay(cues[0], limit=5)
    assert (report.matched, len(report.made), report.has_more) == (6, 5, True)
    originals = Execution.objects.filter(pk__in=report.made).values_list("replayed_from", flat=True)
    assert len(set(originals)) == 5
    assert set(originals) <= made


def test_a_cue_deleted_just_now_does_not_keep_the_others_back() -> None:
    staying = make.cue(make.account())
    going = make.cue(staying.account)
    batch = [(run.cue_id, run.pk) for run in (dead(staying), dead(going))]
    services.delete(going, now=NOW)
    report = dead_letters.Report(2, dead_letters.Counter(), has_more=False)
    dead_letters._replay_batch(batch, Order(), report, now=NOW)
    assert (len(report.made), +report.skipped) == (1, {"cue_deleted": 1})


@pytest.mark.django_db(transaction=True)
def test_many_callers_at_once_replay_each_dead_letter_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters, "BATCH", 2)  # so that they meet often
    owner = make.account()
    cues = [make.cue(owner) for _ in range(3)]
    for at in range(20):
        for cue in cues:
            dead(cue, at)
    reports = at_once([lambda: replay(cues[0], limit=1000)] * 8)
    assert sum(len(report.made) for report in reports) == 60
    replays = Execution.objects.filter(triggered_by="replay")
    assert replays.count() == replays.values("replayed_from").distinct().count() == 60


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite locks the database, not the row")
def test_a_replay_that_is_just_being_made_is_waited_for_and_seen() -> None:
    original = dead(make.cue(make.account()))
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            cue = Cue.objects.select_for_update(no_key=True).get()
            birth.bear_again({original.pk: uuid4()}, as_sent=True, reason="a test", now=NOW)
            bulk = pool.submit(at_once, [lambda: replay(cue)])
            eventually(lambda: bulk.done() or somebody_waits_for_a_row(), what="that it waits")
        (report,) = bulk.result()
    assert (report.matched, report.made, +report.skipped) == (1, [], {"taken_meanwhile": 1})


@pytest.mark.django_db(transaction=True)
def test_the_same_key_sent_many_times_at_once_replays_once(api: Api) -> None:
    cue = make.cue(api.account)
    for at in range(5):
        dead(cue, at)
    calls = [lambda: api.post(REPLAY, {"include_replayed": True}, idempotency_key="again").json()] * 4
    answers = at_once(calls)
    assert all(answer == answers[0] for answer in answers)
    assert Execution.objects.filter(triggered_by="replay").count() == 5


@pytest.mark.django_db(transaction=True)
def test_replays_by_hand_and_in_bulk_at_once_end_well() -> None:
    cue = make.cue(make.account())
    made = [dead(cue, at) for at in range(5)]
    by_hand = [lambda run=run: firing.replay(run, now=NOW) for run in made]
    results = at_once([lambda: replay(cue), *by_hand])
    assert not [result for result in results if isinstance(result, Exception)]
    replays = Execution.objects.filter(triggered_by="replay")
    assert replays.count() == 5 + len(results[0].made)
    assert all(run.replays.count() <= 2 for run in made)


@pytest.mark.django_db(transaction=True)
def test_a_bulk_replay_is_delivered(api: Api, receiver: Receiver, worker: Worker) -> None:
    cue = make.cue(api.account, callback_url=receiver.url, next_run=None)
    dead(cue, payload={"n": 1})
    dead(cue, payload={"n": 2})
    assert api.post(REPLAY, {}).json()["replayed"] == 2
    worker.run()
    assert sorted(request.json["payload"]["n"] for request in receiver.received) == [1, 2]
    assert set(Execution.objects.filter(triggered_by="replay").values_list("status", flat=True)) == {"success"}


@pytest.mark.django_db(transaction=True)
def test_a_bulk_replay_whose_message_is_lost_is_found(api: Api, receiver: Receiver, worker: Worker) -> None:
    dead(make.cue(api.account, callback_url=receiver.url, next_run=None))
    assert api.post(REPLAY, {}).json()["replayed"] == 1
    assert worker.drop() == 1
    recovery.sweep(now=clock.now() + 2 * MINUTE)
    worker.run()
    assert len(receiver.received) == 1


def test_work_for_pulling_workers_can_be_claimed_again(api: Api) -> None:
    cue = make.cue(api.account, transport="worker", callback_url="", next_run=None)
    original = dead(cue, status=Status.MISSED)
    (made,) = api.post(REPLAY, {}).json()["execution_ids"]
    claimed = api.post("/v1/executions/claim", {"worker_id": "w"}).json()
    assert (claimed["execution_id"], original.replays.count()) == (made, 1)


# --- What it costs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        (Filters(), "execution_dead"),
        (Filters(error_class="timeout"), "execution_dead_by_class"),
        (Filters(cue_id="cue_1"), "execution_dead_of_cue"),
        (Filters(since=NOW, until=NOW + MINUTE), "execution_dead"),
    ],
)
def test_the_list_reads_an_index_in_its_order(filters: Filters, index: str) -> None:
    cue = make.cue(make.account())
    for at in range(3):
        dead(cue, at)
    if connection.vendor == "postgresql":  # so small a table it would rather read whole, or by any index
        index = "execution_dead(_of_cue|_by_class|_of_all)?"
        with connection.cursor() as cursor:
            for way in ("seqscan", "sort", "bitmapscan"):
                cursor.execute(f"SET LOCAL enable_{way} = off")
    told = dead_letters.find(cue.account, filters)[:20].explain()
    assert re.search(rf"\b{index}\b", told)
    assert "TEMP B-TREE" not in told
    assert "Sort" not in told


def test_current_is_refused_before_anything_is_made() -> None:
    original = dead(make.cue(make.account(), require_payload_override=True))
    with pytest.raises(BadRequest, match="as_sent"):
        firing.replay(original, definition=ReplayOf.CURRENT, now=NOW)
    assert Execution.objects.count() == 1


# --- Dealt with otherwise ---------------------------------------------------------------------------------------


def test_one_that_is_handled_says_by_whom_and_is_listed_apart(api: Api) -> None:
    handled, other = (make.execution(make.cue(api.account), status=Status.FAILED) for _ in range(2))
    path = f"/v1/executions/{handled.pk}/handled"
    first = api.send("PUT", path).json()
    assert api.send("PUT", path).json() == first
    assert first["handled_by"] == f"{(api.key or '')[:12]}…"
    detail = api.get(f"/v1/executions/{handled.pk}").json()
    assert (detail["handled_at"], detail["handled_by"]) == (first["handled_at"], first["handled_by"])
    for query, wanted in (({}, {handled, other}), ({"handled": "true"}, {handled}), ({"handled": "false"}, {other})):
        listed = api.get("/v1/dead-letters", **query).json()["dead_letters"]
        assert {letter["id"] for letter in listed} == {str(one.pk) for one in wanted}
    taken_back = api.send("DELETE", path)
    assert (taken_back.status_code, taken_back.json()["handled_at"], taken_back.json()["handled_by"]) == (
        200,
        None,
        None,
    )


def test_a_bulk_replay_leaves_out_what_is_handled_unless_it_is_asked_for_or_named(api: Api) -> None:
    handled, other = (make.execution(make.cue(api.account), status=Status.FAILED) for _ in range(2))
    api.send("PUT", f"/v1/executions/{handled.pk}/handled")
    for body, matched in (
        ({}, 1),
        ({"include_handled": True}, 2),
        ({"execution_ids": [str(handled.pk)]}, 1),
    ):
        assert api.post("/v1/dead-letters/replay", {**body, "dry_run": True}).json()["matched"] == matched
    api.post("/v1/dead-letters/replay", {})
    assert list(Execution.objects.filter(replayed_from__isnull=False).values_list("replayed_from", flat=True)) == [
        other.pk
    ]
