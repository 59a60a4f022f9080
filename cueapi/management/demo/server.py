"""The server as any customer sees it: its HTTP API, called with an API key."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

import requests

from cueapi.management.demo.problems import DemoError, Refused

TIMEOUT_S = 10
LIST_MAX = 100
INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM)


class Server:
    """One account's view of the server at `base_url`. Every call raises DemoError when no server answers."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url.rstrip("/")
        self.cues_made: set[str] = set()  # the ids of those not deleted yet
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy of the shell's knows nothing of localhost

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._session.close()

    def use_key(self, api_key: str) -> None:
        """The key of all later calls; an empty one means none."""
        self._session.headers["Authorization"] = f"Bearer {api_key}" if api_key else None  # type: ignore[assignment]

    def get(self, path: str) -> dict[str, Any]:
        """The answer's JSON. Raises Refused for any other status than 2xx."""
        return self._call("GET", path)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer's JSON. Raises Refused for any other status than 2xx."""
        return self._call("POST", path, body)

    def create_cue(self, body: dict[str, Any]) -> dict[str, Any]:
        """The new cue. Ctrl-C takes effect once it is known, or it would be made after everything was cleaned up."""
        with uninterrupted():
            cue = self.post("/v1/cues", body)
            self.cues_made.add(cue["id"])
        return cue

    def delete_cue(self, cue_id: str) -> None:
        """Delete it; that it is gone already is fine."""
        try:
            self._call("DELETE", f"/v1/cues/{cue_id}")
        except Refused as refusal:
            if refusal.status != requests.codes.not_found:
                raise
        self.cues_made.discard(cue_id)

    def cues_named(self, prefix: str) -> list[str]:
        """The ids of those among the newest hundred cues whose name starts with `prefix`."""
        newest = self.get(f"/v1/cues?limit={LIST_MAX}")["cues"]
        return [cue["id"] for cue in newest if cue["name"].startswith(prefix)]

    def require_answer(self) -> None:
        """Raises DemoError when nothing answers, or something that is no CueAPI."""
        if "services" not in self.get("/health"):
            raise self._stranger()

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            answer = self._session.request(
                method, self.base_url + path, json=body, timeout=TIMEOUT_S, allow_redirects=False
            )
        except requests.RequestException:
            raise DemoError(f"No server answers at {self.base_url}. Start one with: make up") from None
        return self._content(answer, f"{method} {path}")

    def _content(self, answer: requests.Response, request: str) -> dict[str, Any]:
        if answer.status_code == requests.codes.no_content:
            return {}
        try:
            content = answer.json()
            if answer.ok:
                return dict(content)
            raise Refused(request, answer.status_code, content["error"]["message"])
        except (ValueError, TypeError, KeyError):
            raise self._stranger() from None

    def _stranger(self) -> DemoError:
        return DemoError(f"What answers at {self.base_url} is not CueAPI. Name another place with --url or PORT.")


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold back Ctrl-C and SIGTERM until the end of the block. Only the main thread of a program hears of them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[tuple[int, FrameType | None]] = []
    before = {number: signal.signal(number, lambda *what: pressed.append(what)) for number in INTERRUPTIONS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if pressed:
        signal.raise_signal(pressed[0][0])
