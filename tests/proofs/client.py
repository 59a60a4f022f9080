"""What the proofs share: the API over real HTTP, and how they tell what they found."""

import argparse
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import requests

from tests.support.brokers import BROKERS, Broker
from tests.support.postgres import SURVIVES_A_KILL, postgres_server
from tests.support.processes import Installation

REQUEST_TIMEOUT_S = 60
PAGE = 100


class Client:
    """The API of a running installation, with the key of its first account. One connection, so one thread."""

    def __init__(self, it: Installation) -> None:
        self._base_url = it.base_url.replace("localhost", "127.0.0.1")
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {it.api_key}"

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exception: object) -> None:
        self._session.close()

    def get(self, path: str, **query: Any) -> Any:
        return self._answer("GET", path, params=query)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._answer("POST", path, json=body)

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._answer("PATCH", path, json=body)

    def create_cue(self, name: str, schedule: Mapping[str, Any], url: str, **fields: Any) -> Any:
        """The new cue."""
        return self.post("/v1/cues", {"name": name, "schedule": schedule, "callback": {"url": url}, **fields})

    def executions(self) -> Iterator[Any]:
        """All of them. Call when no new ones are being made."""
        offset, more = 0, True
        while more:
            page = self.get("/v1/executions", limit=PAGE, offset=offset)
            yield from page["executions"]
            offset, more = offset + PAGE, page["has_more"]

    def count(self, **query: str) -> int:
        """How many executions match the query."""
        return int(self.get("/v1/executions", limit=1, **query)["total"])

    def webhook_secret(self) -> str:
        return str(self.get("/v1/auth/webhook-secret")["webhook_secret"])

    def _answer(self, method: str, path: str, **options: Any) -> Any:
        """Waits, as it is told to, while the database is down; GETs only."""
        answer = self._session.request(method, self._base_url + path, timeout=REQUEST_TIMEOUT_S, **options)
        while method == "GET" and answer.status_code == requests.codes.unavailable:
            time.sleep(float(answer.headers["Retry-After"]))
            answer = self._session.request(method, self._base_url + path, timeout=REQUEST_TIMEOUT_S, **options)
        assert answer.ok, f"{method} {path} answered {answer.status_code}: {answer.text}"
        return answer.json()


@contextmanager
def running(
    environment: Mapping[str, str], *, postgres: bool = False, broker: Broker | None = None
) -> Iterator[Installation]:
    """An installation with all its processes up, on SQLite or on a private PostgreSQL."""
    if postgres:
        with (
            postgres_server(SURVIVES_A_KILL) as server,
            running({**environment, "DATABASE_URL": server.url}, broker=broker) as it,
        ):
            it.database_server = server
            yield it
        return
    with Installation(environment, broker=broker) as it:
        for name in it.roles:
            it.start(name)
        yield it


def arguments(description: str | None) -> argparse.ArgumentParser:
    """A parser with what every proof takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    return parser


def chosen_broker(name: str) -> Broker:
    """For `--broker`. Ends with what to install where its server is not there."""
    broker = BROKERS[name]()
    if broker.missing:
        raise SystemExit(broker.missing)
    return broker


def say(text: str) -> None:
    """A line of progress, at once."""
    print(text, flush=True)


def verdict(faults: Sequence[str], good: str) -> int:
    """Print the last line; the exit status."""
    say(f"NOT PROVEN: {'; '.join(faults)}." if faults else f"PROVEN: {good}.")
    return 1 if faults else 0


def machine() -> str:
    """How busy the machine is, because figures of time depend on it."""
    return f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that `share` (above 0, to 1) of the ordered values do not exceed, by nearest rank."""
    return ordered[math.ceil(share * len(ordered)) - 1]
