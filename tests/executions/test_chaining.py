"""One success fires the next cue, once, whichever of its signs comes first."""

import pytest

from cueapi.models import Account
from cues import services
from cues.models import Cue
from executions import closing, outcomes
from executions.models import Execution
from executions.states import Status, Trigger
from tests.support import make
from tests.support.api import Api
from tests.support.make import NOW
from tests.support.receiver import Answer, Receiver
from tests.support.together import at_once
from tests.support.worker import Worker

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.fixture
def owner() -> Account:
    return make.account()


def parent_of(target: Cue, status: Status = Status.DELIVERING, depth: int = 0, **cue: object) -> Execution:
    source = make.cue(target.account, on_success_fire=target, **cue)
    return make.execution(source, status=status, attempts=1, chain_depth=depth)


def succeed(parent: Execution) -> None:
    closing.close(parent, Status.SUCCESS, reason="delivered", now=NOW)


def report(parent: Execution, success: bool = True, **fields: object) -> None:
    outcomes.report(parent.account, parent.pk, {"success": success, **fields}, now=NOW)


def chained(parent: Execution) -> list[Execution]:
    return list(Execution.objects.filter(chain_parent=parent))


def test_a_delivery_fires_the_next_cue_with_its_own_payload(owner: Account) -> None:
    parent = parent_of(make.recurring(owner, payload={"task": "second"}), depth=2)
    succeed(parent)
    (child,) = chained(parent)
    assert (child.triggered_by, child.chain_depth, child.payload) == (Trigger.CHAIN, 3, {"task": "second"})
    assert (child.status, child.scheduled_for) == (Status.PENDING, NOW)


def test_delivery_and_report_fire_it_once_together(owner: Account) -> None:
    parent = parent_of(make.cue(owner))
    report(parent)
    assert len(chained(parent)) == 1
    parent.refresh_from_db()
    succeed(parent)
    assert len(chained(parent)) == 1


def test_a_reported_failure_fires_nothing_although_it_was_delivered(owner: Account) -> None:
    parent = parent_of(make.cue(owner))
    report(parent, False)
    parent.refresh_from_db()
    succeed(parent)
    assert (parent.status, chained(parent)) == (Status.SUCCESS, [])


def test_a_failure_that_a_person_waves_through_fires_nothing_where_no_proof_is_asked_for(owner: Account) -> None:
    source = make.cue(owner, on_success_fire=make.cue(owner, name="target"), transport="worker")
    parent = make.execution(source, status=Status.DELIVERING, attempts=1)
    report(parent, False)
    outcomes.verify(owner, parent.pk, valid=True, reason=None, now=NOW)
    assert (Execution.objects.get(pk=parent.pk).status, chained(parent)) == (Status.FAILED, [])


def test_a_final_failure_fires_nothing(owner: Account) -> None:
    parent = parent_of(make.cue(owner))
    closing.close(parent, Status.FAILED, reason="no attempts left", now=NOW)
    assert chained(parent) == []


@pytest.mark.parametrize("asks", [{"verification_mode": "require_external_id"}, {"required_assertions": ["seen"]}])
def test_where_proof_is_asked_for_only_the_proof_counts(owner: Account, asks: dict) -> None:
    parent = parent_of(make.cue(owner), **asks)
    succeed(parent)
    report(parent)
    assert chained(parent) == []
    proof = {"external_id": "m:1", "assertions": {"seen": True}}
    outcomes.add_evidence(owner, parent.pk, proof, now=NOW)
    assert len(chained(parent)) == 1


def test_a_person_who_verifies_fires_it(owner: Account) -> None:
    parent = parent_of(make.cue(owner), verification_mode="manual")
    report(parent)
    assert chained(parent) == []
    outcomes.verify(owner, parent.pk, valid=True, reason=None, now=NOW)
    assert len(chained(parent)) == 1


def test_a_chain_stops_at_its_tenth_link(owner: Account) -> None:
    target = make.cue(owner)
    succeed(last := parent_of(target, depth=9))
    assert chained(last)[0].chain_depth == 10
    succeed(beyond := parent_of(target, depth=10))
    assert (beyond.status, chained(beyond)) == (Status.SUCCESS, [])


def test_a_target_that_is_gone_leaves_the_verdict_alone(owner: Account) -> None:
    target = make.cue(owner)
    parent = parent_of(target)
    services.delete(target, now=NOW)
    succeed(Execution.objects.select_related("cue").get(pk=parent.pk))
    assert (Execution.objects.get(pk=parent.pk).status, Execution.objects.count()) == (Status.SUCCESS, 1)


@pytest.mark.django_db(transaction=True)
def test_a_success_noticed_by_two_at_once_fires_once(owner: Account) -> None:
    parent = parent_of(make.cue(owner))
    at_once([lambda: succeed(Execution.objects.select_related("cue").get(pk=parent.pk)), lambda: report(parent)])
    assert len(chained(parent)) == 1


@pytest.mark.django_db(transaction=True)
def test_a_target_deleted_at_that_moment_never_undoes_the_verdict(owner: Account) -> None:
    for round_ in range(5):
        target = make.cue(owner, name=f"target {round_}")
        parent = parent_of(target, name=f"source {round_}")
        fresh = Execution.objects.select_related("cue").get(pk=parent.pk)
        answers = at_once([lambda p=fresh: succeed(p), lambda t=target: services.delete(t, now=NOW)])
        assert [answer for answer in answers if isinstance(answer, Exception)] == []
        assert Execution.objects.get(pk=parent.pk).status == Status.SUCCESS


@pytest.mark.django_db(transaction=True)
def test_two_cues_in_a_row_over_the_api(api: Api, receiver: Receiver, worker: Worker) -> None:
    def create(name: str, **fields: object) -> str:
        body = make.body(name=name, callback={"url": receiver.url_for(f"/{name}")}, **fields)
        return str(api.post("/v1/cues", body).json()["id"])

    second = create("second")
    first = create("first", on_success_fire=second)
    receiver.default = Answer(200)
    api.post(f"/v1/cues/{first}/fire")
    worker.run()
    assert [request.path for request in receiver.received] == ["/first", "/second"]
    (run,) = api.get("/v1/executions", cue_id=second).json()["executions"]
    (parent,) = api.get("/v1/executions", cue_id=first).json()["executions"]
    assert (run["triggered_by"], run["chain_parent_id"], run["chain_depth"]) == ("chain", parent["id"], 1)
