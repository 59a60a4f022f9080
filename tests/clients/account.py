"""The other side of a client's story: what the test does and sees over HTTP, with the same account."""

import re
import secrets
from dataclasses import dataclass
from typing import Any

import requests

from tests.clients.server import Server
from tests.support.deadline import eventually

REQUEST_S = 20
FINAL = ("success", "failed", "missed", "outcome_timeout")


@dataclass(frozen=True)
class Account:
    """An account of its own for each test."""

    base_url: str
    email: str
    api_key: str

    def get(self, path: str, **query: Any) -> Any:
        return self._answer("GET", path, params=query)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self._answer("POST", path, json=body, headers={"X-Confirm-Destructive": "true"} | headers)

    def status_of(self, path: str) -> int:
        """Which status a GET answers."""
        return _send("GET", self.base_url + path, self.api_key).status_code

    def worker_cue(self, name: str, task: str, **fields: Any) -> Any:
        """A cue for pulling workers that never comes due by itself."""
        return self.post("/v1/cues", _yearly(name) | {"transport": "worker", "payload": {"task": task}} | fields)

    def webhook_cue(self, name: str, url: str, **fields: Any) -> Any:
        """A cue with a webhook that never comes due by itself."""
        return self.post("/v1/cues", _yearly(name) | {"callback": {"url": url}} | fields)

    def fire(self, cue: Any, **fields: Any) -> str:
        """The id of the new execution."""
        return str(self.post(f"/v1/cues/{cue['id']}/fire", fields)["execution_id"])

    def execution(self, execution_id: str) -> Any:
        return self.get(f"/v1/executions/{execution_id}")

    def ended(self, execution_id: str, *, within_s: float = 30) -> Any:
        """The execution, once it is final."""

        def look() -> Any:
            found = self.execution(execution_id)
            return found if found["status"] in FINAL else None

        return eventually(look, within_s=within_s, what=f"the end of execution {execution_id}")

    def _answer(self, method: str, path: str, **options: Any) -> Any:
        answer = _send(method, self.base_url + path, self.api_key, **options)
        assert answer.ok, f"{method} {path} answered {answer.status_code}: {answer.text}"
        return answer.json() if answer.content else None


def new_account(server: Server) -> Account:
    email = f"reader-{secrets.token_hex(4)}@example.org"
    answer = _send("POST", f"{server.base_url}/v1/auth/register", None, json={"email": email})
    assert answer.status_code == 201, answer.text
    return Account(server.base_url, email, answer.json()["api_key"])


def mailed_link(server: Server, email: str) -> str:
    """The link of the sign-in mail to this address. Without a mail server it is in the log."""
    link = re.compile(rf"{re.escape(email)}.*?(http\S+/v1/auth/verify\?token=[0-9a-f]{{64}}&device_code=[\w-]+)")
    found = eventually(lambda: link.search(server.log("web") + server.log("worker")), what="the sign-in link")
    return found[1]


def follow(link: str) -> requests.Response:
    """Open a page as a browser would."""
    return _send("GET", link, None)


def submit_address(server: Server, device_code: str, email: str) -> None:
    """What the page of a device code does with the address that its reader types."""
    body = {"device_code": device_code, "email": email}
    answer = _send("POST", f"{server.base_url}/v1/auth/device-code/submit-email", None, json=body)
    assert (answer.status_code, answer.json()) == (200, {"status": "email_sent"})


def _send(method: str, url: str, api_key: str | None, **options: Any) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        if api_key is not None:
            session.headers["Authorization"] = f"Bearer {api_key}"
        return session.request(method, url, timeout=REQUEST_S, **options)


def _yearly(name: str) -> dict[str, Any]:
    return {"name": name, "schedule": {"type": "recurring", "cron": "0 0 1 1 *"}}
