"""What goes out: the envelope, the headers, the signature over the exact bytes (contract 6.1 to 6.4)."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cueapi import outbound
from cueapi.signing import Secrets, signature
from executions.transports import webhook
from executions.transports.webhook import Delivery
from tests.support.receiver import Answer, Receiver

NOW = datetime(2031, 5, 4, 9, 0, 30, tzinfo=UTC)
RUN = UUID("7d0b6a0e-0f3c-4c36-9a0e-1f6c0f5d7a55")
SECRET = "whsec_" + "ab" * 32


def delivery(**changed: Any) -> Delivery:
    return Delivery(
        **{
            "execution_id": RUN,
            "cue_id": "cue_4k2m9x0c7b1d",
            "cue_name": "nightly-digest",
            "attempt": 2,
            "scheduled_for": NOW - timedelta(seconds=30),
            "payload": {"task": "digest"},
            "url": "http://127.0.0.1:9/hook",
            "method": "POST",
            "headers": {},
            "secrets": Secrets(SECRET),
            "outcome_url": "http://localhost/outcome?token=1",
            "heartbeat_url": "http://localhost/heartbeat?token=2",
            "timeout_s": 5.0,
            "flatten": True,
            "payload_names_execution": False,
            "heeds_no_retry": True,
        }
        | changed
    )


def sent(receiver: Receiver, **changed: Any) -> Any:
    result = webhook.send(delivery(url=receiver.url, **changed), now=NOW)
    assert result.succeeded, result
    return receiver.received[-1]


def test_the_envelope_and_its_headers(receiver: Receiver) -> None:
    request = sent(receiver)
    assert request.body.decode() == (
        '{"attempt": 2, "cue_id": "cue_4k2m9x0c7b1d", "execution_id": "7d0b6a0e-0f3c-4c36-9a0e-1f6c0f5d7a55", '
        '"name": "nightly-digest", "payload": {"task": "digest"}, "scheduled_for": "2031-05-04T09:00:00+00:00", '
        '"task": "digest"}'
    )
    expected = {
        "Content-Type": "application/json",
        "User-Agent": "CueAPI/1.0",
        "X-CueAPI-Timestamp": str(int(NOW.timestamp())),
        "X-CueAPI-Signature": signature(SECRET, str(int(NOW.timestamp())), request.body),
        "X-CueAPI-Cue-Id": "cue_4k2m9x0c7b1d",
        "X-CueAPI-Execution-Id": str(RUN),
        "X-CueAPI-Scheduled-For": "2031-05-04T09:00:00+00:00",
        "X-CueAPI-Attempt": "2",
        "X-CueAPI-Outcome-Url": "http://localhost/outcome?token=1",
        "X-CueAPI-Heartbeat-Url": "http://localhost/heartbeat?token=2",
        "webhook-id": str(RUN),
        "webhook-timestamp": str(int(NOW.timestamp())),
    }
    assert {name: request.headers[name] for name in expected} == expected


def test_reserved_keys_win_over_the_payloads_own_which_stay_nested() -> None:
    payload = {"attempt": 99, "payload": "mine", "name": "mine", "other": 1}
    body = webhook.body_of(delivery(payload=payload))
    assert (body["attempt"], body["name"], body["payload"], body["other"]) == (2, "nightly-digest", payload, 1)


@pytest.mark.parametrize(("extra", "flat"), [(-1, True), (0, True), (1, False)])
def test_payloads_are_flattened_up_to_64_kib(extra: int, flat: bool) -> None:
    payload = {"big": "x" * (64 * 1024 - len('{"big": ""}') + extra)}
    assert ("big" in webhook.body_of(delivery(payload=payload))) == flat
    assert "big" not in webhook.body_of(delivery(payload=payload, flatten=False))


def test_only_a_lenient_cue_names_the_execution_inside_the_payload() -> None:
    assert webhook.body_of(delivery())["payload"] == {"task": "digest"}
    named = webhook.body_of(delivery(payload_names_execution=True))
    assert named["payload"] == {"task": "digest", "execution_id": str(RUN)}
    own = webhook.body_of(delivery(payload_names_execution=True, payload={"execution_id": "mine"}))
    assert (own["payload"], own["execution_id"]) == ({"execution_id": "mine"}, str(RUN))


def test_a_get_has_no_body_and_signs_the_empty_one(receiver: Receiver) -> None:
    request = sent(receiver, method="GET")
    assert (request.method, request.body) == ("GET", b"")
    assert "Content-Type" not in request.headers
    stamp = request.headers["X-CueAPI-Timestamp"]
    assert request.headers["X-CueAPI-Signature"] == signature(SECRET, stamp, b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_the_other_methods_carry_the_body(receiver: Receiver, method: str) -> None:
    request = sent(receiver, method=method)
    assert (request.method, request.json["execution_id"]) == (method, str(RUN))


def test_the_customers_headers_are_sent_and_cannot_replace_ours(receiver: Receiver) -> None:
    own = {
        "Authorization": "Bearer x",
        "content-type": "application/vnd.x+json",
        "USER-AGENT": "mine",
        "x-cueapi-signature": "forged",
        "X-CueApi-Attempt": "99",
        "Webhook-Signature": "forged",
    }
    headers = sent(receiver, headers=own).headers
    assert (headers["Authorization"], headers["Content-Type"], headers["User-Agent"]) == (
        "Bearer x",
        "application/vnd.x+json",
        "mine",
    )
    assert headers["X-CueAPI-Signature"].startswith("v1=")
    assert headers["X-CueAPI-Attempt"] == "2"
    assert headers["webhook-signature"].startswith("v1,")


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**15), 10**15)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(payload=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), json_values, max_size=4))
def test_a_receiver_that_parses_and_serialises_again_gets_the_signed_bytes(payload: dict[str, Any]) -> None:
    request = webhook.build(delivery(payload=payload), now=NOW)
    assert json.dumps(json.loads(request.body), sort_keys=True).encode() == request.body
    assert request.body.isascii()


def test_the_reply_is_kept_up_to_2000_characters_and_a_nul_cannot_hurt(receiver: Receiver) -> None:
    receiver.will_answer(Answer(500, "a\x00b" + "é" * 3000))
    result = webhook.send(delivery(url=receiver.url), now=NOW)
    assert (result.error_stage, result.http_status, len(result.response_body)) == ("status", 500, 2000)
    assert result.response_body.startswith("a\ufffdbé")


@pytest.mark.parametrize(
    ("body", "cut_by_client", "truncated"),
    [
        (b"x" * 2000, False, False),
        (b"x" * 2001, False, True),
        (b"x" * 9, True, True),
        ("é".encode() * 2000, False, False),
    ],
)
def test_a_reply_that_went_on_is_marked(body: bytes, cut_by_client: bool, truncated: bool) -> None:
    reply = outbound.Reply(200, {}, body, cut_by_client, 1)
    result = webhook.read_reply(delivery(), reply, started_at=NOW)
    assert result.response_truncated == truncated


def test_a_redirect_is_a_failure_that_says_why(receiver: Receiver) -> None:
    receiver.will_answer(Answer(302, headers={"Location": "http://127.0.0.1:9/"}))
    result = webhook.send(delivery(url=receiver.url), now=NOW)
    assert (result.succeeded, result.http_status) == (False, 302)
    assert "redirect" in result.error_message
    assert result.response_headers["location"] == "http://127.0.0.1:9/"


def test_only_useful_headers_of_the_reply_are_kept() -> None:
    headers = {"Set-Cookie": "secret=1", "Retry-After": "7", "Server": "s" * 900}
    reply = outbound.Reply(503, headers, b"", False, 12)
    result = webhook.read_reply(delivery(), reply, started_at=NOW)
    assert set(result.response_headers) == {"retry-after", "server"}
    assert len(result.response_headers["server"]) == 500
    assert (result.retry_after, result.duration_ms) == (timedelta(seconds=7), 12)


GONE = "The receiver asked for no more tries (410 Gone)."
ASKED = "The receiver asked for no more tries (X-CueAPI-No-Retry, with status {})."


def answered(status: int, header: str | None, **changed: Any) -> webhook.Result:
    headers = {} if header is None else {"X-CueAPI-No-Retry": header}
    return webhook.read_reply(delivery(**changed), outbound.Reply(status, headers, b"", False, 1), started_at=NOW)


@pytest.mark.parametrize(
    ("status", "header", "message"),
    [
        (410, None, GONE),
        (410, "false", GONE),
        (410, "true", ASKED.format(410)),
        (500, "true", ASKED.format(500)),
        (429, " TRUE ", ASKED.format(429)),
        (302, "True", ASKED.format(302)),
        (400, "1", ASKED.format(400)),
    ],
)
def test_a_receiver_may_ask_for_no_more_tries(status: int, header: str | None, message: str) -> None:
    result = answered(status, header)
    assert (result.error_stage, result.error_message) == ("status", message)
    assert message.lower().startswith(result.no_retry.lower())
    assert result.response_headers.get("x-cueapi-no-retry") == header


@pytest.mark.parametrize(
    ("status", "header"),
    [(500, None), (404, "false"), (500, "0"), (500, ""), (500, "yes"), (500, "true, true"), (200, "true"), (204, "1")],
)
def test_what_does_not_ask_for_it_clearly_changes_nothing(status: int, header: str | None) -> None:
    assert answered(status, header).no_retry == ""


@pytest.mark.parametrize(("status", "header"), [(410, None), (500, "true")])
def test_where_it_is_not_heeded_it_is_a_failure_like_any(status: int, header: str | None) -> None:
    result = answered(status, header, heeds_no_retry=False)
    assert (result.no_retry, result.error_message) == ("", f"The receiver answered {status}.")


@pytest.mark.parametrize(
    ("status", "truncated", "taken"), [(200, False, True), (200, True, False), (500, False, False)]
)
def test_an_outcome_is_taken_from_a_whole_2xx_reply_only(status: int, truncated: bool, taken: bool) -> None:
    reply = outbound.Reply(status, {}, b'{"success": true}', truncated, 1)
    result = webhook.read_reply(delivery(), reply, started_at=NOW)
    assert (result.reported is not None) == taken


def test_secrets_stay_out_of_logs() -> None:
    text = repr(delivery(headers={"Authorization": "Bearer hidden"}))
    assert SECRET not in text
    assert "hidden" not in text
