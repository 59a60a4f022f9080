"""Reading what a page's address asks for. What cannot be read is left out, and the page says so."""

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest

from cueapi import keyset
from cueapi.errors import ApiError
from cueapi.keyset import Sheet
from cues.zones import instant_in

UTC = ZoneInfo("UTC")
PAGE = 50


class Query:
    """The words of an address, one by one; `kept` are those that were read, for the links of the page."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self.kept: dict[str, str] = {}
        self.has_refused = False

    def text(self, name: str) -> str:
        """Empty when there is none."""
        text = self._request.GET.get(name, "").strip().replace("\x00", "\ufffd")[:300]
        if text:
            self.kept[name] = text
        return text

    def choice(self, name: str, choices: Collection[str]) -> str | None:
        text = self.text(name)
        if not text or text in choices:
            return text or None
        self._refuse(name, f"“{text}” is none of: {', '.join(choices)}.")
        return None

    def instant(self, name: str) -> datetime | None:
        """A time as RFC 3339, or as browsers send it, then in UTC."""
        text = self.text(name)
        if not text:
            return None
        try:
            return instant_in(text, UTC, where=name)
        except ApiError:
            self._refuse(name, f"“{text}” is no time. Write 2031-05-04T09:00:00Z.")
            return None

    def read(self, name: str, reader: Callable[[str], Any], otherwise: str) -> Any:
        """What `reader` makes of it; None is that it cannot be read."""
        text = self.text(name)
        found = reader(text) if text else None
        if text and found is None:
            self._refuse(name, otherwise)
        return found

    def sheet(self, rows: "QuerySet[Any]", *, by: str, within: "QuerySet[Any] | None" = None) -> Sheet:
        """The page of `rows` that the address is at, found among the next of `within`, where that is given."""
        position = self._request.GET.get("at", "")
        try:
            return keyset.sheet(rows, by=by, position=position, size=PAGE, within=within)
        except keyset.Unreadable:
            self._refuse("at", "This page of the list is not there any more. Here is the first.")
            return keyset.sheet(rows, by=by, size=PAGE, within=within)

    def at(self, position: str | None) -> str | None:
        """The address of another page of the same list."""
        return f"?{urlencode({**self.kept, 'at': position})}" if position else None

    def _refuse(self, name: str, why: str) -> None:
        self.kept.pop(name, None)
        self.has_refused = True
        messages.warning(self._request, why)
