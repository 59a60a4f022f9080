"""Reading request bodies: JSON whatever the Content-Type, and only what every database can store and sign."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any, cast

from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from cueapi.errors import InvalidJson, InvalidPayload, ValidationFailed

DEPTH_MAX = 100
PAYLOAD_FIELDS = ("body.payload.", "body.payload_override.")


class AlwaysJson(BaseContentNegotiation):
    """Published examples often omit Content-Type, so it decides nothing (contract 1.1)."""

    def select_parser(self, request: Request, parsers: Any) -> BaseParser:
        parser: BaseParser = parsers[0]
        return parser

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        return renderers[0], renderers[0].media_type


class JsonParser(BaseParser):
    """An object, or nothing at all."""

    media_type = "*/*"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        return parse_object(stream.read())


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`; an empty body is an empty object.

    Raises InvalidJson, InvalidPayload (inside a payload) and ValidationFailed (elsewhere).
    """
    if not body.strip():
        return {}
    value = _load(body)
    if not isinstance(value, dict):
        raise ValidationFailed.of("body", f'must be a JSON object such as {{"name": "…"}}, not {_kind(value)}')
    return cast(dict[str, Any], _checked(value))


def parse_value(body: bytes) -> Any:
    """The JSON value in `body`, of whatever type; null for an empty body. Raises as `parse_object` does."""
    return _checked(_load(body)) if body.strip() else None


def _checked(value: Any) -> Any:
    for path, problem in problems(value):
        if f"{path}.".startswith(PAYLOAD_FIELDS):
            raise InvalidPayload(f"{path}: {problem}", where=path)
        raise ValidationFailed.of(path, problem)
    return value


def _load(body: bytes) -> Any:
    try:
        return json.loads(body)
    except RecursionError:
        raise InvalidJson(f"The body is nested too deeply; {DEPTH_MAX} levels are the most.") from None
    except UnicodeDecodeError as error:
        raise InvalidJson(f"The body is not UTF-8: byte {error.start} cannot be read.") from None
    except ValueError as error:
        raise InvalidJson(f"The body is not valid JSON: {error}.") from None


@dataclass(frozen=True)
class _Place:
    """Where a value stands; spelled only when something is wrong there, because keys may be long and many."""

    parent: "_Place | None"
    key: str | int

    def spelled(self) -> str:
        keys, place = [], self
        while place.parent is not None:
            keys.append(str(place.key)[:60])
            place = place.parent
        return ".".join([str(place.key), *reversed(keys)])


def problems(root: Any, root_name: str = "body") -> Iterator[tuple[str, str]]:
    """Each (path, problem) that JSON's grammar lets through and a database or a signature would not."""
    stack: list[tuple[_Place, Any, int]] = [(_Place(None, root_name), root, 0)]
    while stack:
        place, value, depth = stack.pop()
        if depth > DEPTH_MAX:
            yield place.spelled()[:200], f"is nested deeper than {DEPTH_MAX} levels"
        elif isinstance(value, dict):
            yield from (
                (place.spelled(), f"has a key that {problem}") for problem in map(_text_problem, value) if problem
            )
            stack.extend((_Place(place, key), item, depth + 1) for key, item in value.items())
        elif isinstance(value, list):
            stack.extend((_Place(place, index), item, depth + 1) for index, item in enumerate(value))
        elif problem := _scalar_problem(value):
            yield place.spelled(), problem


def _scalar_problem(value: Any) -> str | None:
    if isinstance(value, float) and not math.isfinite(value):
        return "must be a finite number; JSON has no NaN or Infinity"
    return _text_problem(value) if isinstance(value, str) else None


def _text_problem(text: str) -> str | None:
    if "\x00" in text:
        return "holds the character U+0000, which cannot be stored; remove it"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "holds half of a surrogate pair, which is not text; send the whole character"
    return None


def _kind(value: Any) -> str:
    return {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}.get(type(value), "a number")
