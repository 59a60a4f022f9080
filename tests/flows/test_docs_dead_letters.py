"""docs/dead-letters.md, run as printed, and held against what the code knows."""

import re

import pytest

from executions.failures import ErrorClass
from executions.states import Status
from tests.support import make
from tests.support.api import Api
from tests.support.printed import ROOT, Page, send

PAGE = Page("docs/dead-letters.md")

pytestmark = pytest.mark.django_db(transaction=True)


def test_dead_letters_are_listed_counted_and_replayed_as_printed(api: Api) -> None:
    letter = make.execution(make.cue(api.account), status=Status.FAILED, error_class="http_5xx")
    (listed,) = send(api, PAGE.curl("?error_class")).json()["dead_letters"]
    assert listed["id"] == str(letter.pk)
    counted = send(api, PAGE.curl("/dead-letters/replay")).json()
    assert (counted["matched"], counted["replayed"]) == (1, 0)
    replay = send(api, PAGE.curl("EXECUTION_ID/replay"), EXECUTION_ID=str(letter.pk)).json()
    told = api.get(f"/v1/executions/{letter.pk}").json()
    assert len(told["replays"]) == 1
    assert told["replays"][0] in str(replay)


def test_a_dead_letter_is_marked_as_handled_as_printed(api: Api) -> None:
    letter = make.execution(make.cue(api.account), status=Status.FAILED, error_class="http_5xx")
    marked = send(api, PAGE.curl("EXECUTION_ID/handled"), EXECUTION_ID=str(letter.pk)).json()
    assert marked["handled_by"].startswith("cue_sk_")
    assert api.get("/v1/dead-letters", handled="false").json()["total"] == 0


def test_every_class_is_described() -> None:
    text = (ROOT / PAGE.path).read_text()
    described = re.findall(r"^\| `(\w+)` \| (?!Why)", text, re.MULTILINE)
    assert sorted(described) == sorted(ErrorClass.values)
