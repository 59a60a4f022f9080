"""docs/destinations.md, run as printed, and held against what the code knows."""

import re

import pytest

from executions.models import Destination
from executions.states import BreakerState
from tests.support import make
from tests.support.api import Api
from tests.support.printed import ROOT, Page, send

PAGE = Page("docs/destinations.md")

pytestmark = pytest.mark.django_db(transaction=True)


def test_destinations_are_listed_opened_closed_and_paced_as_printed(api: Api) -> None:
    row = Destination.objects.create(account=api.account, lane="https://hooks.example:443")
    (one,) = send(api, PAGE.curl("/destinations ")).json()["destinations"]
    ids = {"DESTINATION_ID": one["id"]}
    assert send(api, PAGE.curl("/open"), **ids).json()["state"] == "open"
    assert send(api, PAGE.curl("/close"), **ids).json()["state"] == "closed"
    slower = send(api, PAGE.curl("-X PATCH http://localhost:8000/v1/destinations/"), **ids)
    assert slower.json()["rate_per_minute"] == 60
    row.refresh_from_db()
    assert row.rate_per_minute == 60


def test_a_cue_is_given_a_rate_as_printed(api: Api) -> None:
    cue = api.post("/v1/cues", make.body()).json()
    answer = send(api, PAGE.curl("/v1/cues/CUE_ID"), CUE_ID=cue["id"]).json()
    assert answer["delivery"] == {"rate_per_minute": 6}


def test_every_state_is_described() -> None:
    text = (ROOT / PAGE.path).read_text()
    described = re.findall(r"^\| `(\w+)` \| (?!What)", text, re.MULTILINE)
    assert described == BreakerState.values
