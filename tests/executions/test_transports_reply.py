"""The outcome in a receiver's reply: what fits is taken, what does not is left out (contract 6.4)."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cueapi.parsers import problems
from executions.transports.reply import outcome_in, storable


def outcome(**fields: Any) -> dict[str, Any]:
    found = outcome_in(json.dumps({"success": True} | fields).encode())
    assert found is not None
    return found


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"ok",
        b"[]",
        b"null",
        b'"success"',
        b'{"ok": true}',
        b'{"success": "true"}',
        b'{"success": 1}',
        b'{"success": null}',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"success": true',
    ],
)
def test_a_reply_without_a_boolean_success_says_nothing(body: bytes) -> None:
    assert outcome_in(body) is None


def test_every_field_that_fits_is_taken() -> None:
    fields = {
        "result": "sent",
        "error": "none",
        "metadata": {"n": 3},
        "external_id": "msg:88",
        "result_url": "https://example.org/88",
        "result_ref": "r",
        "result_type": "email",
        "summary": "s",
        "artifacts": [1],
        "assertions": {"done": True},
    }
    assert outcome(**fields) == {"success": True} | fields
    assert outcome_in(b'{"success": false}')["success"] is False  # type: ignore[index]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("external_id", 88),
        ("external_id", ["a"]),
        ("result_url", "javascript:alert(1)"),
        ("result_url", "https://example.org/" + "x" * 2000),
        ("result_url", 5),
        ("summary", {"a": 1}),
        ("metadata", "text"),
        ("metadata", [1]),
        ("metadata", {"a": "x" * 11_000}),
        ("metadata", {"a": "\x00"}),
        ("metadata", {"a\x00": 1}),
        ("metadata", {"a": "\ud800"}),
        ("metadata", {"a": float("inf")}),
        ("artifacts", {"a": 1}),
        ("artifacts", ["\x00"]),
        ("assertions", ["done"]),
    ],
)
def test_a_field_that_does_not_fit_is_left_out_and_the_rest_is_kept(name: str, value: Any) -> None:
    found = outcome(**{"result": "kept", name: value})
    assert (found["result"], found[name]) == ("kept", None)


def test_long_texts_are_cut() -> None:
    found = outcome(
        result="x" * 5000, error="y" * 5000, external_id="e" * 600, result_type="t" * 600, summary="s" * 600
    )
    lengths = [len(found[name]) for name in ("result", "error", "external_id", "result_type", "summary")]
    assert lengths == [2000, 2000, 500, 100, 500]


@pytest.mark.parametrize(("value", "text"), [({"n": 3}, '{"n": 3}'), (7, "7"), (True, "true"), ([1], "[1]")])
def test_a_result_that_is_no_text_is_stored_as_json(value: Any, text: str) -> None:
    assert outcome(result=value)["result"] == text


def test_nuls_and_half_characters_become_what_a_database_takes() -> None:
    assert outcome(result="a\x00b", external_id="\ud83d")["result"] == "a\ufffdb"
    assert storable("a\x00\ud83d") == "a\ufffd?"


@given(st.binary(max_size=200))
def test_no_reply_can_break_the_sender(body: bytes) -> None:
    assert outcome_in(body) is None or isinstance(outcome_in(body), dict)


anything = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x, max_size=2))


@given(
    st.dictionaries(st.sampled_from(["result", "error", "metadata", "artifacts", "summary", "result_url"]), anything)
)
def test_whatever_the_fields_hold_the_outcome_can_be_stored_as_utf8(fields: dict[str, Any]) -> None:
    found = outcome(**fields)
    assert [place for place, _ in problems(found)] == []  # a spelled-out "\\u0000" is text like any other
    json.dumps(found, ensure_ascii=False).encode()


@pytest.mark.parametrize("field", ["artifacts", "metadata"])
def test_what_is_nested_too_deep_to_be_shown_again_is_left_out(field: str) -> None:
    opening, closing = ("[", "]") if field == "artifacts" else ('{"a":', "}")
    deep = opening * 900 + "1" + closing * 900
    outcome = outcome_in(f'{{"success": true, "{field}": {deep}}}'.encode())
    assert outcome is not None
    assert outcome[field] is None
