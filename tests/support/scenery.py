"""A small company's agents after a busy day: what pictures and checks of the pages look at, on a real installation."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.proofs.client import Client
from tests.support.deadline import eventually
from tests.support.processes import Installation
from tests.support.receiver import Answer, Received, Receiver

AT_ONCE = {"type": "one-time", "at": None}
NOBODY = "http://127.0.0.1:9/hook"
WROTE_A_PAST = "from tests.support import past; past.write()"
DONE = Answer(200, {"success": True, "result": "12 mails summarised", "external_id": "msg:88"})
BUSY = Answer(503, {"error": "the model is overloaded, try again"})
BROKEN = Answer(500, {"error": "the template digest.html is missing"})
ALWAYS = {"/mails": DONE, "/reports": BROKEN, "/issues": BUSY, "/digest": Answer(202, {})}


@dataclass(frozen=True)
class Scenery:
    """What is worth a look: the paths of its most telling pages."""

    failed: str
    retried: str
    retrying: str
    cue: str
    paused_at_nine: str


@contextmanager
def scenery(it: Installation) -> Iterator[Scenery]:
    """Made within some seconds; its receiver answers until the end."""
    with Client(it) as client, Receiver() as receiver:
        receiver.default = _answer
        cues = _cues(client, receiver)
        it.manage("shell", "--verbosity", "0", "-c", WROTE_A_PAST)
        yield _settled(client, cues)


def _answer(received: Received) -> Answer:
    if received.path == "/crawl":
        return BUSY if received.headers["X-CueAPI-Attempt"] in ("1", "2") else DONE
    return ALWAYS.get(received.path, DONE)


def _cues(client: Client, receiver: Receiver) -> Mapping[str, str]:
    """Their ids by name; all that is due at once is on its way."""

    def make(name: str, schedule: Mapping[str, Any], path: str, **fields: Any) -> str:
        url = receiver.url_for(path) if path else NOBODY
        given = {"payload": {"inbox": "support", "limit": 20}} | fields
        return str(client.create_cue(name, schedule, url, **given)["id"])

    at_once = {"max_attempts": 3, "backoff_minutes": [0]}
    later = {"max_attempts": 3, "backoff_minutes": [30, 60]}
    cues = {
        "summarise-inbox": make("summarise-inbox", _cron("*/10 * * * *"), "/mails", description="Mails, for the team"),
        "refresh-embeddings": make("refresh-embeddings", _cron("5 * * * *"), "/mails"),
        "sync-calendar": make("sync-calendar", _cron("*/15 * * * *"), "/mails"),
        "morning-report": make("morning-report", _cron("0 9 * * *"), "/mails"),
        "weekly-digest": make("weekly-digest", _cron("0 9 * * MON"), "/digest", verification={"mode": "manual"}),
        "nightly-report": make("nightly-report", _cron("0 2 * * *"), "/reports", retry=at_once),
        "crawl-docs": make("crawl-docs", AT_ONCE, "/crawl", retry=at_once),
        "triage-issues": make("triage-issues", AT_ONCE, "/issues", retry=later),
        "sync-crm": make("sync-crm", AT_ONCE, "", retry=later),
    }
    for name in ("nightly-report", "nightly-report", "nightly-report", "weekly-digest"):
        client.post(f"/v1/cues/{cues[name]}/fire", {})
    _work_for_workers(client)
    return cues


def _cron(expression: str) -> Mapping[str, str]:
    return {"type": "recurring", "cron": expression, "timezone": "Europe/Paris"}


def _work_for_workers(client: Client) -> None:
    """One claims and works, one is known and idle."""
    client.post(
        "/v1/cues",
        {"name": "transcribe", "transport": "worker", "schedule": AT_ONCE, "payload": {"task": "transcribe"}},
    )
    for worker, task in (("gpu-1", "transcribe"), ("gpu-2", "translate")):
        client.post("/v1/worker/heartbeat", {"worker_id": worker, "handlers": [task]})
    client.post("/v1/executions/claim", {"worker_id": "gpu-1", "task": "transcribe", "wait": 10})


def _settled(client: Client, cues: Mapping[str, str]) -> Scenery:
    """Once everything has come to where it stays."""

    def one(name: str, status: str, **query: str) -> str:
        def path() -> str:
            found = client.get("/v1/executions", cue_id=cues[name], status=status, limit=1)["executions"]
            return f"/executions/{found[0]['id']}" if found else ""

        return eventually(path, within_s=30, what=f"{name} being {status}")

    one("sync-crm", "retrying")
    eventually(lambda: client.count(cue_id=cues["nightly-report"], status="failed") == 3, what="three failed reports")
    return Scenery(
        failed=one("nightly-report", "failed"),
        retried=one("crawl-docs", "success"),
        retrying=one("triage-issues", "retrying"),
        cue=f"/cues/{cues['summarise-inbox']}",
        paused_at_nine=f"/cues/{cues['morning-report']}",
    )
