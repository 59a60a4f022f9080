"""Reading a body: what is an object comes out as it was, what cannot be stored or signed is refused."""

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cueapi.errors import ApiError, InvalidJson, InvalidPayload, ValidationFailed
from cueapi.parsers import DEPTH_MAX, parse_object

text = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=10)
storable = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=10,
)


@settings(database=None, deadline=None)
@given(value=st.dictionaries(text, storable, max_size=5), ascii_only=st.booleans())
def test_an_object_comes_out_as_it_went_in(value: dict[str, Any], ascii_only: bool) -> None:
    assert parse_object(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@settings(database=None, deadline=None)
@given(body=st.binary(max_size=100))
def test_any_bytes_give_an_object_or_an_error_of_ours(body: bytes) -> None:
    try:
        assert isinstance(parse_object(body), dict)
    except ApiError as error:
        assert error.status in (400, 422)


@pytest.mark.parametrize("body", [b"", b"  ", b"\n\t\r"])
def test_nothing_is_an_empty_object(body: bytes) -> None:
    assert parse_object(body) == {}


def test_a_byte_order_mark_does_no_harm() -> None:
    assert parse_object(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


@pytest.mark.parametrize("body", [b"{", b"{'a': 1}", b'{"a": 1,}', b'{"a": 01}', b"nope", b"{}{}", b"\xff\xff"])
def test_what_is_not_json_says_where(body: bytes) -> None:
    with pytest.raises(InvalidJson, match=r"not valid JSON|not UTF-8"):
        parse_object(body)


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b"[]", "an array"), (b'"a"', "a string"), (b"1.5", "a number"), (b"true", "a boolean"), (b"null", "null")],
)
def test_what_is_no_object_is_named(body: bytes, kind: str) -> None:
    with pytest.raises(ValidationFailed, match=f"not {kind}") as caught:
        parse_object(body)
    assert [detail.field for detail in caught.value.details] == ["body"]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", r'"\u0000"', r'"\ud83d"'])
@pytest.mark.parametrize(
    ("template", "path"),
    [('{"a": @}', "body.a"), ('{"a": [1, {"b": @}]}', "body.a.1.b"), ('{"payloads": @}', "body.payloads")],
)
def test_what_cannot_be_stored_is_named_by_its_path(template: str, path: str, value: str) -> None:
    with pytest.raises(ValidationFailed) as caught:
        parse_object(template.replace("@", value).encode())
    assert [detail.field for detail in caught.value.details] == [path]


@pytest.mark.parametrize("field", ["payload", "payload_override"])
@pytest.mark.parametrize("value", ["NaN", r'"\u0000"', r'{"deep": ["\ud83d"]}', r'{"\u0000": 1}'])
def test_inside_a_payload_it_is_an_invalid_payload(field: str, value: str) -> None:
    with pytest.raises(InvalidPayload, match=f"body.{field}"):
        parse_object(f'{{"{field}": {value}}}'.encode())


def test_a_whole_surrogate_pair_is_a_character() -> None:
    assert parse_object(rb'{"a": "\ud83d\ude00"}') == {"a": "😀"}


@pytest.mark.parametrize(("levels", "fits"), [(DEPTH_MAX, True), (DEPTH_MAX + 1, False)])
def test_the_depth_has_a_limit(levels: int, fits: bool) -> None:
    body = b'{"a": ' * levels + b"1" + b"}" * levels
    if fits:
        assert parse_object(body)
        return
    with pytest.raises(ValidationFailed, match="deeper"):
        parse_object(body)


def test_any_depth_is_survived() -> None:
    with pytest.raises(InvalidJson, match="deep"):
        parse_object(b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}")


def test_a_long_key_over_many_values_costs_no_more_than_the_body() -> None:
    body = json.dumps({"payload": {"k" * 20_000: [0] * 200_000}}).encode()
    tracemalloc.start()
    try:
        parse_object(body)
        assert tracemalloc.get_traced_memory()[1] < 100 * len(body)
    finally:
        tracemalloc.stop()
