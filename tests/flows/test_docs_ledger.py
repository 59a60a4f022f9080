"""docs/ledger.md, run as printed, and held against what the code knows."""

import re
from datetime import timedelta

import pytest

from cues.models import Verdict
from executions import firing
from tests.support import make
from tests.support.api import Api
from tests.support.make import NOW
from tests.support.printed import ROOT, Page, send

PAGE = Page("docs/ledger.md")

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_ledger_and_its_answer_are_asked_for_as_printed(api: Api) -> None:
    cue = make.recurring(api.account, created_at=NOW - timedelta(minutes=1))
    firing.fire_due([cue.pk], now=NOW)
    (entry,) = send(api, PAGE.curl("/ledger"), CUE_ID=cue.pk).json()["entries"]
    assert entry["verdict"] == "ran"
    told = send(api, PAGE.curl("/explain"), CUE_ID=cue.pk).json()
    assert (told["verdict"], told["facts"]["execution_id"]) == ("ran", entry["execution_id"])


def test_every_verdict_is_described() -> None:
    text = (ROOT / PAGE.path).read_text()
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == Verdict.values
