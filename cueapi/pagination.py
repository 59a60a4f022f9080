"""Reading the query: `limit` and `offset` (contract 1.2), numbers, flags. What cannot be read is a 422 that says so."""

from dataclasses import dataclass
from typing import Any

from rest_framework.request import Request

from cueapi.errors import ValidationFailed

LIMIT_MAX = 100
OFFSET_MAX = 2**62  # what a database integer can hold
FLAGS = {"true": True, "false": False}


@dataclass(frozen=True)
class Page:
    limit: int
    offset: int

    def of(self, queryset: Any) -> list[Any]:
        return list(queryset[self.offset : self.offset + self.limit])


def page(request: Request, *, default: int, limit: str = "limit", offset: str = "offset") -> Page:
    """The page that the query asks for. Raises ValidationFailed."""
    return Page(
        limit=whole_number(request, limit, default=default, low=1, high=LIMIT_MAX),
        offset=whole_number(request, offset, default=0, low=0, high=OFFSET_MAX),
    )


def whole_number(request: Request, name: str, *, default: int, low: int, high: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if text.isascii() and text.isdecimal() and len(text) < 20 and low <= int(text) <= high:
        return int(text)
    raise ValidationFailed.of(f"query.{name}", f"must be a whole number from {low} to {high}")


def flag(request: Request, name: str) -> bool | None:
    """true or false, in any case; None when the query has no such name. Raises ValidationFailed."""
    text = request.query_params.get(name)
    if text is None:
        return None
    if text.lower() not in FLAGS:
        raise ValidationFailed.of(f"query.{name}", "must be true or false")
    return FLAGS[text.lower()]
