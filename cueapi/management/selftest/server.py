"""The scratch server over its HTTP API: an account, cues, and what became of their executions."""

import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import requests

from cueapi.management.selftest.facts import Attempt, Life
from cueapi.management.selftest.problems import Unserved

TIMEOUT_S = 30
PAGE = 100
READERS = 4
ENDED = "success,failed,missed,outcome_timeout"
EMAIL = "selftest@localhost.localdomain"


class Server:
    """One account's view; each thread has a connection of its own. Every call raises Unserved with the answer."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self._key = ""
        self._mine = threading.local()

    @classmethod
    def with_new_account(cls, base_url: str) -> Self:
        server = cls(base_url)
        server._key = str(server.call("POST", "/v1/auth/register", {"email": EMAIL})["api_key"])
        return server

    def webhook_secret(self) -> str:
        return str(self.call("GET", "/v1/auth/webhook-secret")["webhook_secret"])

    def create_cue(self, body: Mapping[str, Any]) -> str:
        """The new cue's id."""
        return str(self.call("POST", "/v1/cues", body)["id"])

    def count_ended(self) -> int:
        return int(self.call("GET", f"/v1/executions?limit=1&status__in={ENDED}")["total"])

    def lives(self) -> Iterator[Life]:
        """Every execution with its attempts. Call when no new ones are being made."""
        with ThreadPoolExecutor(READERS) as readers:
            yield from readers.map(self._life, self._execution_ids())

    def _execution_ids(self) -> Iterator[str]:
        offset, has_more = 0, True
        while has_more:
            page = self.call("GET", f"/v1/executions?limit={PAGE}&offset={offset}")
            yield from (execution["id"] for execution in page["executions"])
            offset, has_more = offset + PAGE, page["has_more"]

    def _life(self, execution_id: str) -> Life:
        told = self.call("GET", f"/v1/executions/{execution_id}")
        attempts = tuple(Attempt(one["number"], one["error_stage"] or "") for one in told["attempt_log"])
        return Life(told["id"], told["cue_id"], told["status"], attempts)

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The answer's JSON. Waits where the server's rate limit asks for it."""
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        while True:
            try:
                answer = self._session().request(
                    method, self.base_url + path, json=body, headers=headers, timeout=TIMEOUT_S
                )
            except requests.RequestException as error:
                raise Unserved(f"{method} {path} was not answered: {type(error).__name__}") from None
            if answer.ok:
                return dict(answer.json())
            if answer.status_code != requests.codes.too_many_requests:
                raise Unserved(f"{method} {path} was answered {answer.status_code}: {answer.text[:300]}")
            time.sleep(float(answer.headers.get("Retry-After", "1")))

    def _session(self) -> requests.Session:
        if not hasattr(self._mine, "session"):
            self._mine.session = requests.Session()
            self._mine.session.trust_env = False
        session: requests.Session = self._mine.session
        return session
