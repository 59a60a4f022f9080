"""Reading a reply strictly, for whoever sent it may be broken, or may want to keep us busy.

http.client takes what it can make some sense of. Here a reply that RFC 9112 does not allow has no reading at all:
half a head is no success, and nothing is read to an end that never comes.
"""

import io
import re
from http.client import BadStatusLine, HTTPException, HTTPResponse
from typing import Any

STATUS_LINE = re.compile(rb"HTTP/\d\.\d[ \t]+\d{3}([ \t].*)?\r?\n", re.DOTALL)
CHUNK_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(;.*)?\r?\n", re.DOTALL)
LENGTH = re.compile(r"[0-9]{1,18}")
CHUNK_SIZE_LINE_MAX_BYTES = 4096  # its extensions say nothing to us
END_OF_HEAD = (b"\r\n", b"\n")


class Lines(io.BufferedReader):
    """A reader that knows the line it read last."""

    latest = b""

    def readline(self, size: int | None = -1, /) -> bytes:
        self.latest = super().readline(size)
        return self.latest


class StrictResponse(HTTPResponse):
    """Refuses a reply without a whole head, one clear length and plain numbers, before anything relies on them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fp = self._lines = Lines(self.fp.detach())

    def begin(self) -> None:
        super().begin()
        if self._lines.latest not in END_OF_HEAD:
            raise HTTPException("the head broke off")
        self._check_length()

    def _check_length(self) -> None:
        given = self.headers.get_all("Content-Length")
        if given is None:
            return
        lengths = {length.strip() for length in ",".join(given).split(",")}
        if len(lengths) > 1 or not all(LENGTH.fullmatch(length) for length in lengths):
            raise HTTPException("no clear length")

    def _read_status(self) -> tuple[str, int, str]:
        """int() takes more than digits: +200 and 2_00 are no status."""
        status: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]  # typeshed lacks what is private
        if not STATUS_LINE.fullmatch(self._lines.latest):
            raise BadStatusLine(repr(self._lines.latest[:100]))
        return status

    def _read_next_chunk_size(self) -> int:
        """int() takes -1 as well, and then http.client reads all that ever comes. ValueError is what it expects."""
        line = CHUNK_SIZE_LINE.fullmatch(self._lines.readline(CHUNK_SIZE_LINE_MAX_BYTES))
        if line is None:
            raise ValueError("not the size of a chunk")
        return int(line[1], 16)
