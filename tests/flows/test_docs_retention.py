"""docs/retention.md, held against the settings, the command and what the API answers."""

import re

import pytest
import time_machine
from django.core.management import call_command

from cueapi.conf import Settings
from executions import purging
from tests.support import make
from tests.support.api import Api
from tests.support.old import DAY, alert, ended, entry
from tests.support.printed import ROOT, Page

PAGE = Page("docs/retention.md")

pytestmark = pytest.mark.django_db


def test_every_setting_is_told_with_its_default() -> None:
    told = dict(re.findall(r"^\| `(RETENTION_\w+)` \| (\d+) \|", (ROOT / PAGE.path).read_text(), re.MULTILINE))
    fields = {name: one for name, one in Settings.model_fields.items() if name.startswith("retention_")}
    assert told == {name.upper(): str(one.default) for name, one in fields.items()}


def test_the_steps_are_as_long_as_told() -> None:
    text = " ".join((ROOT / PAGE.path).read_text().split())
    assert f"{purging.EXECUTIONS_MAX} executions with all that is theirs, or {purging.ROWS_MAX} other rows" in text


@time_machine.travel(make.NOW, tick=False)
def test_the_command_prints_what_is_printed(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    cue = make.cue(api.account)
    for days in (30, 31, 32, 90, 91):
        ended(cue, days)
    for days in (400, 401, 402, 403):
        entry(cue, days)
    alert(cue, 90)
    (block,) = [one for one in PAGE.blocks("console") if "purge --dry-run" in one]
    command, _, output = block.partition("\n")
    call_command(*command.split("manage.py ")[1].split())
    assert capsys.readouterr().out == output


def test_an_execution_without_its_answers_says_when_they_went(api: Api) -> None:
    run = ended(make.cue(api.account), 30)
    purging.purge(now=make.NOW)
    told = api.get(f"/v1/executions/{run.pk}").json()
    assert (told["bodies_removed_at"], told["response_body"]) == ("2031-05-04T09:00:00Z", None)
    assert purging.purge(now=make.NOW + 90 * DAY).removed["executions"] == 1
    assert api.get(f"/v1/executions/{run.pk}").status_code == 404
