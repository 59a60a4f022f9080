"""Workers in the admin: how each is, in words, and forgotten after a question."""

from datetime import timedelta

import pytest

from cueapi import clock
from cueapi.models import AuditEvent
from cues.models import Transport
from executions.models import Execution, Worker
from executions.states import Status
from tests.support import make
from tests.support.admin import Admin, list_url, page_url, staff, superuser

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.fixture
def root(db: None) -> Admin:
    return superuser()


def heard_of(name: str, ago: timedelta, email: str = "ada@example.org") -> Worker:
    owner = make.Account.objects.filter(email=email).first() or make.account(email)
    at = clock.now() - ago
    return Worker.objects.create(
        account=owner, worker_id=name, handlers=["report"], last_heartbeat_at=at, registered_at=at
    )


def claimed_by(worker: Worker) -> Execution:
    now = clock.now()
    cue = make.cue(worker.account, next_run=None, transport=Transport.WORKER, callback_url="")
    columns = {"status": Status.DELIVERING, "claimed_by_worker": worker.worker_id, "claimed_at": now}
    return make.execution(cue, lease_expires_at=now + timedelta(minutes=15), attempts=1, **columns)


def test_the_list_says_how_each_is_and_what_it_holds(root: Admin) -> None:
    busy = heard_of("busy", timedelta(seconds=1))
    namesake = heard_of("busy", timedelta(seconds=1), "bob@example.org")
    heard_of("quiet", timedelta(minutes=10))
    heard_of("gone", timedelta(hours=2))
    for _ in range(2):
        claimed_by(busy)
    states = {one.worker_id: one for one in root.client.get(list_url(Worker)).context["cl"].result_list}
    assert set(states) == {"busy", "quiet", "gone"}
    held = {one.pk: one.holds_now for one in root.client.get(list_url(Worker)).context["cl"].result_list}
    assert (held[busy.pk], held[namesake.pk]) == (2, 0)
    page = root.text(list_url(Worker))
    for words in ("active", "stale", "dead", "2 executions", "nothing", "report"):
        assert words in page


def test_its_page_lists_what_it_holds(root: Admin) -> None:
    busy = heard_of("busy", timedelta(seconds=1))
    run = claimed_by(busy)
    assert page_url(run) in root.text(page_url(busy))


def test_it_is_forgotten_only_once_that_is_confirmed_and_its_claims_come_back(root: Admin) -> None:
    busy = heard_of("busy", timedelta(hours=2))
    run = claimed_by(busy)
    assert "can be claimed by others at once" in root.act("forget", busy)
    assert Worker.objects.filter(pk=busy.pk).exists()
    assert "Workers forgotten: 1." in root.act("forget", busy, confirmed="yes")
    run.refresh_from_db()
    assert (Worker.objects.count(), run.status, run.claimed_by_worker) == (0, Status.PENDING, None)
    entry = AuditEvent.objects.get(action="worker.forgotten")
    assert (entry.subject_name, entry.actor) == ("busy", "root@example.org")


def test_who_may_only_look_cannot_forget_one() -> None:
    busy = heard_of("busy", timedelta(hours=2))
    staff("view_worker").act("forget", busy, confirmed="yes")
    assert Worker.objects.filter(pk=busy.pk).exists()


def test_the_list_costs_the_same_few_queries_however_long_it_is(root: Admin) -> None:
    claimed_by(heard_of("one", timedelta(0)))
    few = root.queries(list_url(Worker))
    for number in range(5):
        claimed_by(heard_of(f"host-{number}", timedelta(0), f"{number}@example.org"))
    assert root.queries(list_url(Worker)) == few
