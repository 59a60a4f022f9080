"""The API as a test calls it: through the whole stack of middleware, in this process, with an account's key."""

import json
from typing import Any

from django.test import Client

from cueapi import accounts, clock
from cueapi.models import Account


class Api:
    """`api.post("/v1/cues", {...})` answers a Django response; `.json()` is its body."""

    def __init__(self, key: str | None, account: Account | None = None) -> None:
        self.key = key
        self.account = account
        self._client = Client(raise_request_exception=False)

    def get(self, path: str, **query: Any) -> Any:
        return self._client.get(path, query, headers=self._headers())

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.send("POST", path, body, **headers)

    def patch(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.send("PATCH", path, body, **headers)

    def delete(self, path: str, **headers: str) -> Any:
        return self.send("DELETE", path, None, **headers)

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """`body` as JSON, or as it is when it is bytes. `x_confirm_destructive="true"` adds that header."""
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        sent = self._headers() | {name.replace("_", "-"): value for name, value in headers.items()}
        return self._client.generic(method, path, data, content_type="application/json", headers=sent)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}


def api_of_new_account(email: str) -> Api:
    account, key = accounts.register(email, now=clock.now())
    return Api(key, account)
