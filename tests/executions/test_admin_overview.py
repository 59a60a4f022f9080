"""The admin's first page: is everything well, for all accounts together."""

from datetime import timedelta

import pytest

from cueapi import clock, liveness
from cueapi.liveness import BeatCycle
from cueapi.middleware import ADMIN_POLICY
from cueapi.volatile import store
from executions import rollup
from executions.models import Destination, Execution
from executions.states import Status
from tests.support import make
from tests.support.admin import HOSTILE, Admin, World, failed, inline_scripts, recurring, staff, superuser, world
from tests.support.api import Api

pytestmark = [pytest.mark.django_db, pytest.mark.database]

QUERIES_MAX = 25


@pytest.fixture(autouse=True)
def _loopback_receivers_are_welcome(settings: object) -> None:
    allowed = {"allow_http_callbacks": True, "callback_allow_cidrs": "127.0.0.0/8"}
    settings.CUEAPI = settings.CUEAPI.model_copy(update=allowed)


@pytest.fixture
def root(db: None) -> Admin:
    return superuser()


@pytest.fixture
def rows(api: Api) -> World:
    return world(api)


def test_it_says_what_is_not_well_and_links_to_it(root: Admin, rows: World) -> None:
    text = root.text("/admin/")
    assert "1 destination is not answering" in text and "1 cue is failing again and again" in text
    assert "/admin/executions/destination/?state__in=open%2Chalf_open" in text
    assert inline_scripts(text) == [] and HOSTILE not in text
    assert root.client.get("/admin/").headers["Content-Security-Policy"] == ADMIN_POLICY


def test_an_installation_without_beat_and_worker_is_not_well(root: Admin) -> None:
    text = root.text("/admin/")
    assert "All is well." not in text
    assert "No beat is at work" in text and "No worker is at work" in text


def test_one_beat_and_one_worker_are_enough(root: Admin) -> None:
    at = clock.now().timestamp()
    liveness.beat_lives("host:1", BeatCycle(at, cues=0, duration_ms=4))
    liveness.beat_lives("host:2", BeatCycle(at - 900, cues=0, duration_ms=4))
    store().hset(liveness.WORKERS_KEY, "host:3", str(at))
    text = root.text("/admin/")
    assert "is at work" not in text
    assert "Beat host:2" in text and "silent" in text


def test_every_figure_leads_to_a_list(root: Admin, rows: World) -> None:
    now = clock.now()
    Execution.objects.filter(pk=rows.execution.pk).update(closed_at=now - timedelta(minutes=3))
    while rollup.count(now=now):
        pass
    text = root.text("/admin/?range=7d")
    links = {part.partition('"')[0].replace("&amp;", "&") for part in text.split('href="')[1:]}
    lists = [link for link in links if link.startswith("/admin/") and "?" in link]
    assert len(lists) >= 6
    for link in lists:
        assert root.client.get(link).status_code == 200, link


def test_each_figure_of_what_ended_is_the_length_of_its_list(root: Admin, api: Api, rows: World) -> None:
    now = clock.now()
    ended = [rows.execution, *(failed(recurring(api, f"another {number}")) for number in range(2))]
    well = make.execution(rows.cue, status=Status.SUCCESS)
    for run in (*ended, well):
        Execution.objects.filter(pk=run.pk).update(
            created_at=now - timedelta(minutes=4), closed_at=now - timedelta(minutes=3)
        )
    make.execution(rows.cue, status=Status.RETRYING)
    make.execution(rows.cue, status=Status.PENDING_OUTCOME)
    while rollup.count(now=now):
        pass
    shown = root.client.get("/admin/").context["glance"]
    lists, seen = shown.lists, shown.overview
    lengths = {name: listed(root, url) for name, url in lists.items()}
    assert lengths["executions"] == seen.ended == 4
    assert lengths["dead"] == seen.ended_badly == 3
    assert (lengths["retrying"], lengths["awaited"]) == (seen.retrying, seen.awaited) == (1, 1)
    assert lengths["waiting"] == seen.waiting
    assert lengths["alerts"] == seen.alerts == 1
    assert lengths["destinations"] == len(seen.open_destinations) == 1
    bars = [column for column in shown.chart.columns if column.bar.total]
    assert sum(listed(root, column.url) for column in bars) == 4


def listed(root: Admin, url: str) -> int:
    answer = root.client.get(url)
    assert answer.status_code == 200, url
    return int(answer.context["cl"].result_count)


@pytest.mark.parametrize("name", ["alert", "cue", "destination"])
def test_what_may_not_be_seen_in_its_list_is_not_named_on_the_first_page(name: str, rows: World) -> None:
    Destination.objects.update(reason="it sulks")
    seen = {
        "alert": ("Alerts to see", "Failing again and again"),
        "cue": ("Next due", "Failing again and again"),
        "destination": ("it sulks",),
    }
    others = [f"view_{other}" for other in seen if other != name]
    some = staff("view_execution", *others).text("/admin/")
    for words in seen[name]:
        assert words not in some
    for words in {word for other in others for word in seen[other.removeprefix("view_")]} - set(seen[name]):
        assert words in some


def test_who_sees_executions_only_sees_no_name_of_anything_else(rows: World) -> None:
    text = staff("view_execution").text("/admin/")
    assert "Ended" in text and "report &lt;script" not in text and rows.destination.lane not in text


def test_it_costs_the_same_few_queries_however_much_there_is(root: Admin, api: Api, rows: World) -> None:
    few = root.queries("/admin/")
    for number in range(5):
        failed(recurring(api, f"another {number}"))
    assert root.queries("/admin/") == few < QUERIES_MAX


def test_who_may_not_see_executions_sees_none(rows: World) -> None:
    text = staff("view_apikey").text("/admin/")
    assert "not answering" not in text and "Next due" not in text
