"""docs/audit.md, run as printed, and held against what the code knows."""

import json
import re

import pytest

from cueapi.models import ActorKind, AuditAction
from tests.support import make
from tests.support.api import Api
from tests.support.printed import ROOT, Page, send

PAGE = Page("docs/audit.md")

pytestmark = pytest.mark.django_db


def test_the_trail_is_asked_for_as_printed_and_looks_as_printed(api: Api) -> None:
    cue = api.post("/v1/cues", make.body()).json()
    api.patch(f"/v1/cues/{cue['id']}", {"schedule": {"cron": "45 2 * * *"}})
    answer = send(api, PAGE.curl("subject_id=CUE_ID"), CUE_ID=cue["id"]).json()
    changed, created = answer["audit_events"]
    assert (changed["action"], created["action"]) == ("cue.updated", "cue.created")
    (printed,) = map(json.loads, PAGE.blocks("json"))
    (example,) = printed["audit_events"]
    assert printed.keys() == answer.keys()
    assert example.keys() == changed.keys()
    for part in ("actor", "subject", "before", "after"):
        assert example[part].keys() == changed[part].keys()
    one = send(api, PAGE.curl("EVENT_ID"), EVENT_ID=changed["id"]).json()
    assert one == changed


def test_every_action_and_every_kind_of_actor_is_described() -> None:
    text = (ROOT / PAGE.path).read_text()
    assert re.findall(r"^\| `(\w+\.\w+)` \|", text, re.MULTILINE) == AuditAction.values
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == ActorKind.values
