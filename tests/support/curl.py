"""Reading a printed curl command, so that a test sends exactly what a reader would paste.

Knows what the examples use (-X, -H, -d and the URL) and refuses the rest instead of guessing.
"""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from requests.structures import CaseInsensitiveDict

FORM = "application/x-www-form-urlencoded"  # what curl claims of -d unless it is told otherwise


@dataclass
class CurlCall:
    """The request that curl would send."""

    method: str = ""
    url: str = ""
    headers: CaseInsensitiveDict[str] = field(default_factory=CaseInsensitiveDict)
    body: bytes | None = None

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    @property
    def path_and_query(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.path}?{parts.query}" if parts.query else parts.path


def parse(command: str) -> CurlCall:
    """The call in `command`: shell comments and continued lines are read as a shell reads them."""
    words = iter(shlex.split(command.replace("\\\n", " "), comments=True))
    assert next(words) == "curl", "the command must start with curl"
    call = CurlCall()
    for word in words:
        _read(call, word, words)
    assert call.url, "the command has no URL"
    call.method = call.method or ("GET" if call.body is None else "POST")
    if call.body is not None:
        call.headers.setdefault("Content-Type", FORM)
    return call


def _read(call: CurlCall, word: str, rest: Iterator[str]) -> None:
    if word in ("-X", "--request"):
        call.method = next(rest)
    elif word in ("-H", "--header"):
        name, _, value = next(rest).partition(":")
        call.headers[name] = value.strip()
    elif word in ("-d", "--data"):
        assert call.body is None, "curl would join several -d with &; no example does that"
        call.body = next(rest).encode()
    else:
        assert not word.startswith("-") and not call.url, f"not understood: {word}"
        call.url = word
