"""Log lines: what each is about, as text and as JSON, and that no secret is in any."""

import json
import logging
import sys
from typing import Any

import pytest

from cueapi import clock
from cueapi import logging as logs
from cueapi.logging import MASK, JsonFormatter, LineFormatter
from executions import delivery
from executions.lanes import Lane
from tests.support import make
from tests.support.api import Api
from tests.support.receiver import Receiver

KEY = "cue_sk_" + "0123456789abcdef" * 2


class Lines(logging.Handler):
    """Every line of the root logger, as it would be written: formatted where and when it is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, Any]] = []
        self.setFormatter(JsonFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(self.format(record)))

    def of(self, event: str) -> dict[str, Any]:
        (found,) = [line for line in self.lines if line["event"] == event]
        return found


@pytest.fixture
def lines() -> Any:
    handler, root = Lines(), logging.getLogger()
    root.addHandler(handler)
    yield handler
    root.removeHandler(handler)


def record(message: str = "thing.done", **facts: Any) -> logging.LogRecord:
    return logging.makeLogRecord(
        {"msg": message, "name": "executions.thing", "levelname": "INFO", "created": 0, **facts}
    )


def as_json(one: logging.LogRecord) -> dict[str, Any]:
    text = JsonFormatter().format(one)
    assert "\n" not in text
    read: dict[str, Any] = json.loads(text)
    return read


def test_a_line_is_one_json_object_with_its_facts_as_they_are() -> None:
    read = as_json(record(status=200, error="two\nlines", nothing=None))
    assert list(read)[:4] == ["at", "level", "logger", "event"]
    assert read == {
        "at": "1970-01-01T00:00:00.000Z",
        "level": "INFO",
        "logger": "executions.thing",
        "event": "thing.done",
        "status": 200,
        "error": "two\nlines",
        "nothing": None,
    }


def test_each_line_tells_what_is_at_work_and_forgets_it_after() -> None:
    with logs.about(account="a"):
        with logs.about(execution="e"):
            logs.note(cue="c")
            inner = as_json(record(execution="its own"))
        outer = as_json(record())
    assert (inner["account"], inner["cue"], inner["execution"]) == ("a", "c", "its own")
    assert "cue" not in outer and "account" not in as_json(record())


@pytest.mark.parametrize("formatter", [LineFormatter(), JsonFormatter()])
def test_no_secret_gets_into_a_line(formatter: logging.Formatter) -> None:
    try:
        raise ValueError(f"bad {KEY}")
    except ValueError:
        raised = sys.exc_info()
    secret = "whsec_c2VjcmV0LXNlY3JldA=="
    facts = {"error": f"Authorization: Bearer {KEY}", "token": "t0p", "why": {"k": secret}, "exc_info": raised}
    text = formatter.format(record(f"said {KEY}", **facts))
    assert all(word not in text for word in (KEY, KEY[8:], secret, "t0p"))
    assert text.count(MASK) >= 4


@pytest.mark.django_db
def test_a_request_s_lines_tell_its_account_and_what_it_names(api: Api, lines: Lines) -> None:
    answer = api.post("/v1/dead-letters/replay", {"limit": 1})
    line = lines.of("dead_letters.replayed")
    assert line["account"] == str(api.account.pk)
    assert line["request_id"] == answer.headers["X-Request-Id"]
    assert (line["matched"], line["replayed"]) == (0, 0)
    assert as_json(record()).keys().isdisjoint({"account", "cue", "request_id"})


@pytest.mark.django_db(transaction=True)
def test_an_attempt_s_line_tells_account_cue_and_execution(lines: Lines, receiver: Receiver) -> None:
    cue = make.recurring(make.account(), callback_url=receiver.url, callback_headers={"X": KEY})
    run = make.execution(cue, due_at=clock.now())
    delivery.drain(Lane.of(run))
    line = lines.of("delivery.attempted")
    found = (line["account"], line["cue"], line["execution"], line["status"])
    assert found == (str(run.account_id), run.cue_id, str(run.pk), 200)
    assert KEY not in json.dumps(lines.lines)


@pytest.mark.django_db
def test_a_request_about_an_execution_names_it(api: Api, lines: Lines, settings: Any) -> None:
    run = make.execution(make.recurring(api.account))
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"redis_url": "unix:///nowhere/valkey.sock"})
    api.post(f"/v1/executions/{run.pk}/outcome", {"success": True})
    about = [line for line in lines.lines if line.get("account") == str(api.account.pk)]
    assert about and {line["execution"] for line in about} == {str(run.pk)}
