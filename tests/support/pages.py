"""A browser of an account that signed in, for tests of our own pages."""

import re
from typing import Any

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from cueapi.models import Account

HOSTILE = "<script>alert(1)</script>"


class Browser:
    """Follows what a POST leads to, as browsers do, and has every page obey the strict policy."""

    def __init__(self, account: Account) -> None:
        self.client = Client()
        self.client.force_login(account)

    def get(self, path: str, **query: Any) -> Any:
        return self._checked(self.client.get(path, query))

    def text(self, path: str, **query: Any) -> str:
        answer = self.get(path, **query)
        assert answer.status_code == 200, (path, answer.status_code, answer.content[:300])
        text: str = answer.content.decode()
        return text

    def post(self, path: str, **data: Any) -> Any:
        answer = self._checked(self.client.post(path, data))
        return self.get(answer["Location"]) if answer.status_code == 303 else answer

    def queries(self, path: str) -> int:
        with CaptureQueriesContext(connection) as ran:
            self.text(path)
        return len(ran)

    def _checked(self, answer: Any) -> Any:
        if answer.headers.get("Content-Type", "").startswith("text/html"):
            text = answer.content.decode()
            assert "unsafe" not in answer.headers["Content-Security-Policy"]
            assert not re.search(r"<script(?![^>]*\bsrc=)|<style|<[^>]+\son\w+=|<[^>]+\sstyle=", text), text
            assert HOSTILE not in text
        return answer
