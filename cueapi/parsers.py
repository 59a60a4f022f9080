"""Reading request bodies: JSON whatever the Content-Type, and only what every database can store and sign."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import IO, Any

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
    for path, problem in _problems(value):
        if f"{path}.".startswith(PAYLOAD_FIELDS):
            raise InvalidPayload(f"{path}: {problem}")
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


def _problems(root: Any) -> Iterator[tuple[str, str]]:
    """Each (path, problem) that JSON's grammar lets through and a database or a signature would not."""
    stack: list[tuple[str, Any, int]] = [("body", root, 0)]
    while stack:
        path, value, depth = stack.pop()
        if depth > DEPTH_MAX:
            yield path[:200], f"is nested deeper than {DEPTH_MAX} levels"
            continue
        if isinstance(value, dict):
            for key, item in value.items():
                if problem := _text_problem(key):
                    yield path, f"has a key that {problem}"
                stack.append((f"{path}.{key}", item, depth + 1))
        elif isinstance(value, list):
            stack.extend((f"{path}.{index}", item, depth + 1) for index, item in enumerate(value))
        elif isinstance(value, str) and (problem := _text_problem(value)):
            yield path, problem
        elif isinstance(value, float) and not math.isfinite(value):
            yield path, "must be a finite number; JSON has no NaN or Infinity"


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
