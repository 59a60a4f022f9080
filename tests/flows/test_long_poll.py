"""The long poll between real processes: who waits is answered when work appears, and nobody waits in vain."""

import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import pytest
import requests

from tests.support import make
from tests.support.processes import Installation

AT_ONCE_S = 3  # far less than the 10 s after which a waiter looks of its own accord
PATIENCE_S = 15  # far less than a waiter's 25 s

Answer = tuple[requests.Response, float]  # and the monotonic second of its arrival


class Client:
    """Calls the installation, each time over a connection of its own."""

    def __init__(self, it: Installation) -> None:
        self._base_url = it.base_url
        self._headers = {"Authorization": f"Bearer {it.api_key}"}

    def post(self, path: str, body: dict[str, Any] | None = None) -> Answer:
        answer = requests.post(f"{self._base_url}/v1/{path}", json=body, headers=self._headers, timeout=40)
        return answer, time.monotonic()


def next_of(waiting: set[Future[Answer]]) -> Answer:
    """The next one to be answered, which waits no longer then."""
    done, _ = wait(waiting, timeout=PATIENCE_S, return_when=FIRST_COMPLETED)
    assert len(done) == 1, f"{len(done)} were answered"
    waiting -= done
    return done.pop().result()


@pytest.mark.processes
def test_each_piece_of_work_answers_one_waiter_at_once_and_who_finds_no_place_is_told_so() -> None:
    with Installation({"LONG_POLL_WAITERS_MAX": "2"}) as it, ThreadPoolExecutor(3) as threads:
        it.start("broker")
        it.start("web")
        client = Client(it)
        schedule = {"type": "recurring", "cron": "0 0 1 1 *"}
        cue, _ = client.post("cues", make.body(transport="worker", callback=None, schedule=schedule))
        assert cue.status_code == 201, cue.text

        waiting = {
            threads.submit(client.post, "executions/claim", {"worker_id": name, "wait": 25}) for name in ("a", "b", "c")
        }
        surplus, _ = next_of(waiting)  # and the two others have their places
        assert (surplus.status_code, surplus.json()["error"]["code"]) == (409, "claim_failed")

        late_s = []
        for _ in range(2):
            run, fired_s = client.post(f"cues/{cue.json()['id']}/fire")
            claim, answered_s = next_of(waiting)
            assert claim.json()["execution_id"] == run.json()["id"]
            late_s.append(answered_s - fired_s)
        assert max(late_s) < AT_ONCE_S
