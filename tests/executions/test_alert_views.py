"""Alerts over HTTP: the list and its filters, and the acknowledgement (contract 8.1)."""

from datetime import timedelta
from typing import Any

import pytest

from executions.models import Alert
from tests.support import make
from tests.support.api import Api
from tests.support.envelope import refused
from tests.support.make import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.database]

TYPES = ("consecutive_failures", "verification_failed", "outcome_timeout", "missed_window")


def alert(api: Api, **columns: Any) -> Alert:
    cue = columns.pop("cue", None) or make.cue(api.account)
    given = {"alert_type": "consecutive_failures", "message": "digest failed 3 times in a row", "created_at": NOW}
    return Alert.objects.create(account=api.account, cue=cue, **given | columns)


def ids(api: Api, **query: Any) -> list[str]:
    answer = api.get("/v1/alerts", **query)
    assert answer.status_code == 200, answer.content
    assert answer.json()["total"] == len(answer.json()["alerts"])
    return [item["id"] for item in answer.json()["alerts"]]


def test_an_alert_shows_every_key(api: Api) -> None:
    run = make.execution(make.cue(api.account))
    made = alert(api, cue=run.cue, execution=run, metadata={"consecutive_failures": 3})
    assert api.get("/v1/alerts").json() == {
        "alerts": [
            {
                "id": str(made.pk),
                "cue_id": run.cue_id,
                "execution_id": str(run.pk),
                "alert_type": "consecutive_failures",
                "severity": "warning",
                "message": "digest failed 3 times in a row",
                "metadata": {"consecutive_failures": 3},
                "acknowledged": False,
                "acknowledged_at": None,
                "created_at": "2031-05-04T09:00:00Z",
            }
        ],
        "total": 1,
        "limit": 20,
        "offset": 0,
    }


def test_an_alert_about_a_cue_as_such_names_no_execution(api: Api) -> None:
    alert(api, alert_type="missed_window")
    assert api.get("/v1/alerts").json()["alerts"][0]["execution_id"] is None


def test_the_newest_come_first_page_by_page(api: Api) -> None:
    cue = make.cue(api.account)
    made = [str(alert(api, cue=cue, created_at=NOW + timedelta(seconds=n)).pk) for n in range(23)][::-1]
    first = api.get("/v1/alerts").json()
    assert ([item["id"] for item in first["alerts"]], first["total"]) == (made[:20], 23)
    page = api.get("/v1/alerts", limit=2, offset=20).json()
    assert [item["id"] for item in page["alerts"]] == made[20:22]
    assert (page["total"], page["limit"], page["offset"]) == (23, 2, 20)
    refused(api.get("/v1/alerts", limit="101"), 422, "validation_error", "query.limit")


def test_each_filter_finds_its_own(api: Api) -> None:
    by_type = {name: str(alert(api, alert_type=name).pk) for name in TYPES}
    for name, pk in by_type.items():
        assert ids(api, alert_type=name) == [pk]
    assert ids(api, alert_type="consecutive_failure") == [by_type["consecutive_failures"]]
    cue = Alert.objects.get(pk=by_type["missed_window"]).cue_id
    assert ids(api, cue_id=cue) == [by_type["missed_window"]]
    assert ids(api, cue_id="no such cue \x00") == []
    api.post(f"/v1/alerts/{by_type['outcome_timeout']}/acknowledge")
    assert ids(api, acknowledged="true") == [by_type["outcome_timeout"]]
    assert set(ids(api, acknowledged="False")) == set(by_type.values()) - {by_type["outcome_timeout"]}
    assert ids(api, acknowledged="false", alert_type="outcome_timeout") == []


@pytest.mark.parametrize(
    ("since", "found"),
    [
        ("2031-05-04T09:00:00Z", True),
        ("2031-05-04T11:00:00+02:00", True),
        ("2031-05-04T09:00:00", True),
        ("2031-05-04T09:00:00.000001Z", False),
        ("2031-05-04T10:00:00+02:00", True),
    ],
)
def test_since_is_an_instant_and_includes_it(api: Api, since: str, found: bool) -> None:
    alert(api)
    assert len(ids(api, since=since)) == found


def test_an_unknown_type_is_refused_with_the_known_ones(api: Api) -> None:
    for name in ("", "nonsense", "CONSECUTIVE_FAILURES", "\x00"):
        error = refused(api.get("/v1/alerts", alert_type=name), 400, "invalid_filter")
        assert all(known in error["message"] for known in TYPES)


@pytest.mark.parametrize("text", ["", "yesterday", "2031-13-01T00:00:00Z", "1e9", "9999-12-31T23:59:59Z", "\x00"])
def test_since_that_is_no_timestamp_is_refused(api: Api, text: str) -> None:
    refused(api.get("/v1/alerts", since=text), 422, "validation_error", "query.since")


@pytest.mark.parametrize("text", ["", "yes", "1", "null"])
def test_acknowledged_is_true_or_false(api: Api, text: str) -> None:
    refused(api.get("/v1/alerts", acknowledged=text), 422, "validation_error", "query.acknowledged")


def test_acknowledging_answers_the_alert_and_keeps_the_first_time(api: Api) -> None:
    made = alert(api)
    first, second = (api.post(f"/v1/alerts/{made.pk}/acknowledge") for _ in range(2))
    assert first.status_code == second.status_code == 200
    assert first.json() == second.json()
    assert (first.json()["id"], first.json()["acknowledged"]) == (str(made.pk), True)
    assert first.json()["acknowledged_at"] is not None
    assert api.get("/v1/alerts").json()["alerts"] == [first.json()]


def test_lists_hold_the_callers_own(api: Api, stranger: Api) -> None:
    made = alert(api)
    assert ids(stranger) == ids(stranger, cue_id=made.cue_id) == []
