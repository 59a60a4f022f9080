"""How fast it is, each figure beside the raw limit of what it stands on, measured in the same run.

`python -m tests.proofs.bench [--database postgres] [--burst 5000] [--workers 2] [--seconds 60] [--write]`
All processes are real, on this machine, together with the receivers. `--write` puts the table into docs/benchmarks.md.
"""

import argparse
import http.client
import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

import redis
from honcho.environ import parse_procfile

from cueapi.embedded import broker_redis_url
from tests.proofs import empty_task
from tests.proofs.bench_scheduler import resident_mb
from tests.proofs.client import Client, arguments, machine, percentile, say, verdict
from tests.proofs.herd import CRON, EVERY, installation
from tests.proofs.sink import Seen, Sink, sinks, url_of
from tests.support.deadline import eventually
from tests.support.filler import ask, change, fill
from tests.support.ports import free_port
from tests.support.processes import ROOT, Installation

DESTINATIONS = 20
PAGE = ROOT / "docs" / "benchmarks.md"
CLIENTS = 4  # threads that call the API
RAW_POSTS = 3000
EMPTY_TASKS = 100
LEAD_S = 14  # for the processes to start before anything is due
EMPTY_WORKER = "exec celery -A tests.proofs.empty_task --quiet worker --pool threads --concurrency 16 --loglevel ERROR"
BESIDE = 20  # deliveries a second beside bad receivers
BURST_MIN_RATIO, P50_MAX_MS, P99_MAX_MS, HURT_MAX = 0.5, 50, 250, 2.0
NOISE_MS = 20.0  # differences below tell of the machine
UNLIMITED = "UPDATE cueapi_account SET rate_limit_per_minute = 1000000000"
HEAD = "| What | Figure | Raw limit | Ratio |\n|---|---:|---:|---:|"


@dataclass(frozen=True)
class Line:
    """One line of the table. `ratio` is of the figure to its raw limit."""

    what: str
    figure: str
    limit: str = ""
    ratio: float | None = None

    def __str__(self) -> str:
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        return f"| {self.what} | {self.figure} | {self.limit} | {ratio} |"


@dataclass(frozen=True)
class Lateness:
    p50_ms: float
    p99_ms: float

    @classmethod
    def of(cls, seen: Sequence[Seen]) -> Self:
        late = sorted(one.late_ms for one in seen)
        return cls(percentile(late, 0.5), percentile(late, 0.99))

    def __str__(self) -> str:
        return f"{self.p50_ms:,.0f} ms, {self.p99_ms:,.0f} ms"


def per_second(what: str, rate: float, raw: float, raw_name: str) -> Line:
    return Line(what, f"{rate:,.0f} a second", f"{raw_name}: {raw:,.0f}", rate / raw)


# --- The API ----------------------------------------------------------------------------------------------------


def api(it: Installation, seconds: float) -> Iterator[Line]:
    """Calls a second, of CLIENTS threads with a kept connection each, beside a view that does nothing."""
    port = free_port()
    it.start("web")
    ours = parse_procfile((ROOT / "Procfile").read_text()).processes["web"]
    empty = ours.replace("config.wsgi", "tests.proofs.empty_web").replace("${PORT:-8000}", str(port))
    it.start_command("empty-web", f"exec {empty}")
    eventually(lambda: _answers(port), within_s=20, what="the empty view")
    raw = calls_per_second(port, lambda _: ("GET", "/", None), {}, seconds)
    key = {"Authorization": f"Bearer {it.api_key}"}
    created: list[str] = []

    def create(number: int) -> tuple[str, str, object]:
        callback = {"url": url_of(port)}  # a name would have DNS measured
        return "POST", "/v1/cues", {"name": f"bench-{number}", "schedule": CRON, "callback": callback}

    for what, call in (
        ("cue created", create),
        ("page of 20 cues", lambda _: ("GET", "/v1/cues?limit=20", None)),
        ("cue read", lambda _: ("GET", f"/v1/cues/{created[0]}", None)),
    ):
        rate = calls_per_second(it.port, call, key, seconds)
        yield per_second(f"API: {what}", rate, raw, "empty DRF view")
        if not created:
            with Client(it) as client:
                created.append(client.get("/v1/cues", limit=1)["cues"][0]["id"])
    it.stop("empty-web")
    it.stop("web")


def _answers(port: int) -> bool:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=2)) as connection:
        try:
            connection.request("GET", "/")
        except OSError:
            return False
        return True


Call = Callable[[int], tuple[str, str, object]]


def calls_per_second(port: int, call: Call, headers: Mapping[str, str], seconds: float) -> float:
    counts = [0] * CLIENTS
    until = time.monotonic() + seconds

    def work(which: int) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
            while time.monotonic() < until:
                method, path, body = call(counts[which] * CLIENTS + which)
                content = None if body is None else json.dumps(body)
                connection.request(method, path, content, {"Content-Type": "application/json", **headers})
                answer = connection.getresponse()
                text = answer.read()
                assert answer.status < 300, text
                counts[which] += 1

    threads = [threading.Thread(target=work, args=(which,)) for which in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


# --- Deliveries -------------------------------------------------------------------------------------------------


def burst(it: Installation, sink: Sink, *, size: int, workers: int) -> Iterator[Line]:
    """So many cues are due in one second, over all destinations."""
    before = raw_posts(sink, workers)
    due_at = fill_for(it, sink.healthy, cues=size, spread_s=1)
    start_all(it, workers)
    ended = "SELECT count(*) FROM executions_execution WHERE status = 'success'"
    finished_at = wait_until(lambda: ask(it.database_url, ended)[0][0] >= size, within_s=60 + size / 20)
    seen, attempts = deliveries(sink), ask(it.database_url, "SELECT count(*) FROM executions_attempt")[0][0]
    memory = [Line(f"Memory of {name}", f"{resident_mb(it.pid(name)):.0f} MB") for name in ("worker", "beat")]
    for name in ("beat", *workers_of(workers)):
        it.stop(name)
    raw = (before + raw_posts(sink, workers)) / 2
    told = f"Burst of {size:,} over {len(sink.healthy)} destinations"
    yield per_second(told, size / (finished_at - due_at), raw, "bare requests loop")
    yield Line(f"{told}: late p50, p99", str(Lateness.of(seen)))
    lost, extra = size - len(seen), attempts - size
    yield Line(f"{told}: not received, recorded too often", f"{lost}, {extra}")
    yield from memory


def steady(it: Installation, sink: Sink, *, per_s: int, seconds: int, bad: bool = False) -> Sequence[Seen]:
    """So many deliveries at each second, over all destinations, of which two may be bad; what the healthy got."""
    ports = list(sink.healthy)
    if bad:
        ports[-2:] = [sink.hanging, free_port()]
    due_at = fill_for(it, ports, cues=per_s * seconds, spread_s=seconds)
    start_all(it, 1)
    healthy = set(ports) & set(sink.healthy)
    expected = per_s * seconds * len(healthy) // len(ports)
    found: list[Seen] = []

    def all_came() -> bool:
        found.extend(one for one in deliveries(sink) if one.port in healthy)
        return len(found) >= expected

    wait_until(all_came, within_s=due_at - time.time() + seconds + 30)
    return found


def fill_for(it: Installation, ports: Sequence[int], *, cues: int, spread_s: int) -> float:
    """Recurring cues, each due once in the seconds from the instant returned on, the ports in turn."""
    it.start("web")
    with Client(it) as client:
        client.create_cue("crontab", CRON, url_of(ports[0]))
        template = client.create_cue("template", EVERY, url_of(ports[0]))
    it.stop("web")
    due_at = (datetime.now(UTC) + timedelta(seconds=LEAD_S)).replace(microsecond=0)
    fill(it.database_url, template["id"], cues=cues, now=due_at, spread_s=spread_s)
    number = f"CAST(substr(id, 5) AS integer) % {len(ports)}"
    which = " ".join(f"WHEN {index} THEN '{url_of(port)}'" for index, port in enumerate(ports))
    lane = f"CASE {number} {which} END"
    change(it.database_url, f"UPDATE cues_cue SET lane = {lane}, callback_url = {lane} WHERE id LIKE 'cue_0000%'")
    return due_at.timestamp()


def workers_of(count: int) -> Sequence[str]:
    return ["worker", *(f"worker-{number}" for number in range(2, count + 1))]


def start_all(it: Installation, workers: int) -> None:
    for name in ("beat", *workers_of(workers)):
        it.start(name)


def wait_until(there: Callable[[], bool], *, within_s: float) -> float:
    """When it was there; looked at twice a second, not more often: whoever looks takes time from those who deliver."""
    until = time.time() + within_s
    while not there():
        assert time.time() < until, "it did not come to an end"
        time.sleep(0.5)
    return time.time()


def deliveries(sink: Sink) -> Sequence[Seen]:
    return [one for one in sink.seen() if one.due_at]


def raw_posts(sink: Sink, processes: int) -> float:
    """Posts a second of a bare requests loop, in so many processes at once."""
    words = [sys.executable, "-m", "tests.proofs.raw_posts", str(RAW_POSTS), *map(str, sink.healthy)]
    running = [subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE) for _ in range(processes)]
    return RAW_POSTS * processes / max(float(one.communicate()[0]) for one in running)


# --- Celery -----------------------------------------------------------------------------------------------------


def tasks(it: Installation) -> Lateness:
    """How long an empty task takes to come on an idle machine."""
    url = broker_redis_url(it.var_dir)
    it.environment["EMPTY_TASK_BROKER"] = url
    empty_task.app.conf.broker_url = empty_task.kombu_url(url)
    it.start_command("worker", EMPTY_WORKER)
    with redis.Redis.from_url(url) as store:
        empty_task.tell.delay(time.time())  # the first waits for connections to be made
        empty_task.told(store, 1, within_s=10)
        for _ in range(EMPTY_TASKS):
            empty_task.tell.delay(time.time())
            time.sleep(1 / BESIDE)
        late = empty_task.told(store, EMPTY_TASKS, within_s=10)
    it.stop("worker")
    return Lateness(percentile(late, 0.5), percentile(late, 0.99))


# --- Together ---------------------------------------------------------------------------------------------------


@contextmanager
def fresh(database: str) -> Iterator[Installation]:
    with installation(database) as it:
        it.start("broker")
        change(it.database_url, UNLIMITED)
        yield it


def measure(sink: Sink, options: argparse.Namespace) -> tuple[Sequence[Line], Sequence[str]]:
    """The lines of the table, and what is beyond its limit."""
    seconds, lines = options.seconds, []
    with fresh(options.database) as it:
        lines += told(api(it, seconds / 10))
        empty = tasks(it)
    idle = look(options.database, sink, per_s=1, seconds=seconds)
    calm = look(options.database, sink, per_s=BESIDE, seconds=seconds)
    hurt = look(options.database, sink, per_s=BESIDE, seconds=seconds, bad=True)
    lines += told(
        [
            Line("Late, one a second: p50, p99", str(idle), f"empty task: {empty}", idle.p50_ms / empty.p50_ms),
            Line(f"Late, {BESIDE} at each second: p50, p99", str(calm)),
            Line("The same beside one that hangs and one that refuses", str(hurt), "", hurt.p99_ms / calm.p99_ms),
        ]
    )
    with fresh(options.database) as it:
        in_burst = told(burst(it, sink, size=options.burst, workers=options.workers))
    return [*lines, *in_burst], [*lateness_faults(idle, calm, hurt), *burst_faults(in_burst)]


def lateness_faults(idle: Lateness, calm: Lateness, hurt: Lateness) -> Iterator[str]:
    if idle.p50_ms > P50_MAX_MS or idle.p99_ms > P99_MAX_MS:
        yield f"lateness of {idle} is over {P50_MAX_MS} and {P99_MAX_MS} ms"
    if hurt.p99_ms > HURT_MAX * max(calm.p99_ms, NOISE_MS):
        yield f"healthy receivers have {hurt} beside bad ones, {calm} without"


def burst_faults(lines: Sequence[Line]) -> Iterator[str]:
    for line in lines:
        if line.ratio is not None and line.ratio < BURST_MIN_RATIO:
            yield f"the burst has {line.ratio:.2f} of a bare loop, not {BURST_MIN_RATIO}"


def look(database: str, sink: Sink, *, per_s: int, seconds: int, bad: bool = False) -> Lateness:
    with fresh(database) as it:
        return Lateness.of(steady(it, sink, per_s=per_s, seconds=seconds, bad=bad))


def told(lines: Iterable[Line]) -> Sequence[Line]:
    """Each said as soon as it is known."""
    found = []
    for line in lines:
        say(str(line))
        found.append(line)
    return found


def write(table: str, database: str) -> None:
    """Put the table where the page has it, by its marks."""
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    on = f"{os.cpu_count()} cores, Python {platform.python_version()}, {today}."
    begin, end = (f"<!-- {word} bench {database} -->" for word in ("begin", "end"))
    before, rest = PAGE.read_text().split(begin)
    PAGE.write_text(f"{before}{begin}\n{table}\n\n{on}\n{end}{rest.split(end)[1]}")


def main(words: Sequence[str]) -> int:
    parser = arguments(__doc__)
    parser.add_argument("--burst", type=int, default=5000, help="deliveries that are due in one second")
    parser.add_argument("--workers", type=int, default=2, help="worker processes in the burst, and bare loops")
    parser.add_argument("--seconds", type=int, default=60, help="of each steady measurement")
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    options = parser.parse_args(words)
    say(f"CueAPI on {options.database} ({machine()})")
    with sinks(DESTINATIONS) as sink:
        lines, faults = measure(sink, options)
    table = "\n".join([HEAD, *map(str, lines)])
    say(table)
    if options.write:
        write(table, options.database)
    return verdict(faults, "the burst, the lateness and the healthy receivers keep their limits")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
