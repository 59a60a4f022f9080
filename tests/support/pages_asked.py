"""Every page, asked for in this process: how long the server takes, how many queries it runs. Runs inside Django."""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from html import unescape
from urllib.parse import urlencode, urljoin

from django.contrib.admin.utils import quote
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from requests import codes

from cueapi import clock
from cueapi.clock import rfc3339
from cueapi.models import Account
from cueapi.pages import PLACES
from executions.models import Execution
from tests.proofs.client import say, verdict
from tests.support import grown

QUERIES_MAX = 24
TIMES = 5
DEEP = 40  # pages down a list
BUSY = "cue_000000000001"


@dataclass(frozen=True)
class Answer:
    """Of one page: its status, queries, and the milliseconds of each time after the first."""

    name: str
    status: int
    queries: int
    took_ms: list[float]

    @property
    def median_ms(self) -> float:
        return self.took_ms[len(self.took_ms) // 2]

    @property
    def slowest_ms(self) -> float:
        return self.took_ms[-1]

    def faults(self, took_max_ms: float) -> Iterator[str]:
        if self.status != codes.ok:
            yield f"{self.name} answered {self.status}"
        if self.slowest_ms > took_max_ms:
            yield f"{self.name} took {self.slowest_ms:.0f} ms"
        if self.queries > QUERIES_MAX:
            yield f"{self.name} ran {self.queries} queries"


def prove(cues: int, executions: int, *, took_max_ms: float) -> int:
    """Fill the database and ask for every page of it; the exit status."""
    grown.fill(cues=cues, executions=executions, say=say)
    say("| Page | Queries | Median | Slowest |\n|---|---:|---:|---:|")
    found = ask_all(
        lambda one: say(f"| {one.name} | {one.queries} | {one.median_ms:.0f} ms | {one.slowest_ms:.0f} ms |")
    )
    faults = [fault for one in found for fault in one.faults(took_max_ms)]
    return verdict(faults, f"each of {len(found)} pages is there within {took_max_ms} ms and {QUERIES_MAX} queries")


def ask_all(tell: Callable[[Answer], None]) -> list[Answer]:
    owner = Account.objects.get(email="grown@example.org")
    admin = Account.objects.create_superuser("admin@example.org", "only-for-this-bench")
    found = []
    for account, pages in ((owner, own_pages), (admin, admin_pages)):
        client = Client(SERVER_NAME="localhost")
        client.force_login(account)
        for name, path in pages(client):
            found.append(ask(client, name, path))
            tell(found[-1])
    return found


def ask(client: Client, name: str, path: str) -> Answer:
    with CaptureQueriesContext(connection) as ran:
        answer = client.get(path)
    queries = len(ran)  # each request empties the log
    took_ms = []
    for _ in range(TIMES):
        started = time.perf_counter()
        client.get(path)
        took_ms.append((time.perf_counter() - started) * 1000)
    return Answer(name, answer.status_code, queries, sorted(took_ms))


def own_pages(client: Client) -> Iterator[tuple[str, str]]:
    """As the account that has most of it sees them."""
    yield from ((path, path) for path, _ in PLACES)
    yield "/?range=7d", "/?range=7d"
    lists: Mapping[str, list[Mapping[str, str]]] = {
        "/executions": [
            *({"status": status} for status in ("success", "failed", "retrying", "pending", "delivering", "missed")),
            *({"trigger": trigger} for trigger in ("manual_fire", "replay")),
            *({"outcome": outcome} for outcome in ("reported_success", "verification_failed")),
            *({"error": error} for error in ("http_4xx", "dns")),
            {"cue": BUSY},
            {"cue": BUSY, "status": "failed"},
            {"since": days_ago(40), "until": days_ago(39)},
            {"status": "failed", "since": days_ago(40), "until": days_ago(39)},
        ],
        "/cues": [{"status": "paused"}, {"q": "cue 99"}, {"q": "nothing like it"}],
        "/dead-letters": [{"error": "timeout"}, {"error": "dns"}, {"replayed": "any", "handled": "any"}, {"cue": BUSY}],
        "/alerts": [{"cue": BUSY}],
        "/audit": [{"subject": BUSY}, {"action": "cue.updated"}],
    }
    for path, queries in lists.items():
        for query in queries:
            yield f"{path} {' '.join(query)} {next(iter(query.values()))}", f"{path}?{urlencode(query)}"
    for path in ("/executions", "/cues", "/dead-letters", "/audit"):
        yield f"{path}, {DEEP} pages down", deep(client, path)
    yield from (
        (f"{status} execution", f"/executions/{newest(status)}") for status in ("success", "failed", "retrying")
    )
    yield "the busiest cue", f"/cues/{BUSY}"
    yield "a cue, why", f"/cues/{BUSY}?{urlencode({'at': days_ago(30)})}"


def admin_pages(client: Client) -> Iterator[tuple[str, str]]:
    """As an operator sees them: every list of the sidebar, its filters, and the pages behind it."""
    front = client.get("/admin/").content.decode()
    yield "/admin/", "/admin/"
    yield from ((path, path) for path in dict.fromkeys(re.findall(r'href="(/admin/[a-z_]+/[a-z]+/)"', front)))
    executions, cues = "/admin/executions/execution/", "/admin/cues/cue/"
    hours = re.findall(
        r'href="(/admin/executions/execution/\?ended=[^"]+)"', client.get("/admin/?range=7d").content.decode()
    )
    yield from ((f"what ended, {nth} of {len(hours)}", unescape(hours[nth])) for nth in (0, 1, len(hours) // 2))
    letters = "/admin/executions/deadletter/"
    for query in (
        {"state": "all"},
        {"error_class__exact": "timeout"},
        {"error_class__exact": "dns"},
        {"ended": "week"},
    ):
        yield f"dead letters {' '.join(query.values())}", f"{letters}?{urlencode(query)}"
    yield "dead letters of a destination", f"{letters}?{urlencode({'q': 'https://agent-7.example.org'})}"
    yield "dead letters of an account", f"{letters}?{urlencode({'q': 'grown@example.org'})}"
    yield "all dead letters, counted", f"{letters}all/replay"
    for query in (
        *({"status__exact": status} for status in ("failed", "pending", "missed")),
        {"late": "yes"},
        {"triggered_by__exact": "replay"},
        {"outcome_state__exact": "verification_failed"},
        {"q": BUSY},
        {"q": "cue 99"},
        {"q": "nothing like it"},
        {"q": BUSY, "status__exact": "failed"},
        {"p": "50"},
    ):
        yield f"executions {' '.join(query)} {next(iter(query.values()))}", f"{executions}?{urlencode(query)}"
    yield "cues q", f"{cues}?q=cue+99"
    yield "cues status", f"{cues}?status__exact=paused"
    yield "audit trail q", f"/admin/cueapi/auditevent/?q={BUSY}"
    yield from (
        (f"{status} execution (admin)", f"{executions}{newest(status)}/change/") for status in ("success", "failed")
    )
    yield "the busiest cue (admin)", f"{cues}{quote(BUSY)}/change/"
    account = Account.objects.get(email="grown@example.org")
    yield "the account (admin)", f"/admin/cueapi/account/{account.pk}/change/"


def days_ago(days: int) -> str:
    return rfc3339(clock.now() - timedelta(days=days)) or ""


def newest(status: str) -> str:
    return str(Execution.objects.filter(account__email="grown@example.org", status=status).newest_first()[0].pk)


def deep(client: Client, path: str) -> str:
    """The address so many pages further down, or of the last page, by the links of the pages."""
    here = path
    for _ in range(DEEP):
        link = re.search(r'rel="next" href="([^"]+)"', client.get(here).content.decode())
        if link is None:
            return here
        here = urljoin(here, unescape(link[1]))
    return here
