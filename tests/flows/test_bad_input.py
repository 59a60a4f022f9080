"""What cannot be accepted is refused with the contract's answer, and leaves nothing behind."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import LazySettings

from tests.support.api import Api
from tests.support.envelope import refused, rows
from tests.support.receiver import Answer, Receiver
from tests.support.resolver import Resolver
from tests.support.wire import wire
from tests.support.worker import Worker

pytestmark = [pytest.mark.django_db, pytest.mark.database]

MIB = 1_048_576
CUE: dict[str, Any] = {
    "name": "nightly-digest",
    "schedule": {"type": "recurring", "cron": "15 2 * * *"},
    "callback": {"url": "https://hooks.example.org/digest"},
}
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def nothing_stored(api: Api) -> Iterator[None]:
    """The test may not leave a row behind, beyond the account of `api`."""
    before = rows()
    yield
    assert rows() == before


def create(api: Api, **fields: Any) -> Any:
    return api.post("/v1/cues", CUE | fields)


# --- Schedules --------------------------------------------------------------------------------------------------


def first_of_month_or_monday(after: datetime) -> datetime:
    """09:00 UTC on the next day that is the first of a month or a Monday, found by walking the days."""
    at = after.replace(hour=9, minute=0, second=0, microsecond=0)
    while at <= after or not (at.day == 1 or at.weekday() == 0):
        at += timedelta(days=1)
    return at


def test_day_of_month_and_day_of_week_mean_either(api: Api) -> None:
    before = datetime.now(UTC)
    answer = create(api, schedule={"cron": "0 9 1 * 1"})
    assert answer.status_code == 201, answer.content
    expected = {first_of_month_or_monday(before), first_of_month_or_monday(datetime.now(UTC))}
    assert datetime.fromisoformat(answer.json()["next_run"]) in expected


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize(
    ("schedule", "status", "code"),
    [
        pytest.param({"cron": "0 0 30 2 *"}, 400, "invalid_schedule", id="30 February"),
        pytest.param({"cron": "0 0 9 * * *"}, 400, "invalid_schedule", id="six fields"),
        pytest.param({"cron": "*/5 * * *"}, 400, "invalid_schedule", id="four fields"),
        pytest.param({"cron": "61 * * * *"}, 400, "invalid_schedule", id="minute 61"),
        pytest.param({"cron": "0 " * 60}, 400, "invalid_schedule", id="longer than 100"),
        pytest.param({"type": "recurring"}, 400, "invalid_schedule", id="no cron"),
        pytest.param({"type": "sometimes", "cron": "0 9 * * *"}, 400, "invalid_schedule", id="unknown type"),
        pytest.param({"type": "once"}, 400, "invalid_schedule", id="once without at"),
        pytest.param({"type": "once", "at": None}, 400, "invalid_schedule", id="once at null"),
        pytest.param({"type": "once", "at": "2024-01-01T12:05:00Z"}, 400, "invalid_schedule", id="past once"),
        pytest.param({"type": "once", "at": "tomorrow"}, 400, "invalid_schedule", id="at in words"),
        pytest.param({"type": "once", "at": "2031-02-30T00:00:00Z"}, 400, "invalid_schedule", id="at 30 February"),
        pytest.param({"type": "once", "at": "9999-12-31T23:59:59-14:00"}, 400, "invalid_schedule", id="last instant"),
        pytest.param({"type": "one-time", "at": "0001-01-01T00:00:00+14:00"}, 400, "invalid_schedule", id="first"),
        pytest.param({"cron": "0 9 * * *", "timezone": "Mars/Olympus"}, 422, "invalid_timezone", id="unknown zone"),
        pytest.param({"cron": "0 9 * * *", "timezone": "../../etc/passwd"}, 422, "invalid_timezone", id="path as zone"),
        pytest.param({"cron": "0 9 * * *", "timezone": "Europe"}, 422, "invalid_timezone", id="half a zone"),
        pytest.param({}, 400, "invalid_schedule", id="empty"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(api: Api, schedule: dict[str, Any], status: int, code: str) -> None:
    refused(create(api, schedule=schedule), status, code)


def test_a_bad_schedule_leaves_the_patched_cue_as_it_was(api: Api) -> None:
    before = api.get(f"/v1/cues/{create(api).json()['id']}").json()
    refused(
        api.patch(f"/v1/cues/{before['id']}", {"name": "x", "schedule": {"cron": "0 0 30 2 *"}}),
        400,
        "invalid_schedule",
    )
    refused(api.patch(f"/v1/cues/{before['id']}", {"schedule": {"timezone": "Mars"}}), 422, "invalid_timezone")
    assert api.get(f"/v1/cues/{before['id']}").json() == before


# --- Callbacks --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/",
        "http://169.254.169.254/latest/meta-data/",
        "http://metadata.google.internal/",
        "http://2852039166/",
        "http://[::ffff:169.254.169.254]/",
        "https://10.0.0.1/",
        "https://internal.example.org/hook",
        "https://half.example.org/hook",
        "ftp://hooks.example.org/",
        "https://ada:secret@hooks.example.org/",
        "https:///hook",
        "hooks.example.org",
        "javascript:alert(1)",
        "https://hooks.example.org:99999/",
        "https://hooks.example.org/a b",
        "https://hooks.example.org/" + "x" * 2048,
    ],
)
def test_a_url_that_breaks_the_rules_is_refused(api: Api, resolver: Resolver, url: str) -> None:
    resolver["internal.example.org"] = ["10.0.0.1"]
    resolver["half.example.org"] = ["93.184.215.14", "10.0.0.1"]
    refused(create(api, callback={"url": url}), 400, "invalid_callback_url")
    error = refused(create(api, on_failure={"webhook": url}), 400, "invalid_callback_url")
    assert error["message"].startswith("on_failure.webhook:")
    refused(api.patch("/v1/auth/me", {"alert_webhook_url": url}), 400, "invalid_alert_webhook_url")
    assert api.get("/v1/auth/me").json()["alert_webhook_url"] is None


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/", "http://localhost/", "http://[::1]/", "http://hooks.example.org/"]
)
def test_loopback_and_plain_http_are_refused_in_production(api: Api, settings: LazySettings, url: str) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"env": "production"})
    refused(create(api, callback={"url": url}), 400, "invalid_callback_url")


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize(
    "name", ["X-Team\r\nX-Evil", "X Team", "", "X-Täm", "Host", "content-length", "X-CueAPI-Signature"]
)
def test_a_header_name_that_cannot_be_sent_is_refused(api: Api, name: str) -> None:
    answer = create(api, callback=CUE["callback"] | {"headers": {name: "ops"}})
    refused(answer, 422, "validation_error", "body.callback.headers")


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize("value", ["ops\r\nX-Evil: 1", "ops\n", "ops\r", "☃", "\x7f"])
def test_a_header_value_with_a_line_break_is_refused(api: Api, value: str) -> None:
    answer = create(api, callback=CUE["callback"] | {"headers": {"X-Team": value}})
    refused(answer, 422, "validation_error", "body.callback.headers.X-Team")


@pytest.mark.usefixtures("nothing_stored")
def test_transport_inside_the_callback_is_refused(api: Api) -> None:
    answer = create(api, callback=CUE["callback"] | {"transport": "webhook"})
    refused(answer, 422, "validation_error", "body.callback.transport")


@pytest.mark.django_db(transaction=True)
def test_a_redirect_to_loopback_is_a_failed_attempt_and_is_not_followed(
    api: Api, receiver: Receiver, worker: Worker
) -> None:
    receiver.default = Answer(302, headers={"Location": receiver.url_for("/admin")})
    answer = api.post("/v1/cues", {"name": "now", "schedule": {"type": "one-time"}, "callback": {"url": receiver.url}})
    assert answer.status_code == 201, answer.content
    worker.run()
    assert [webhook.path for webhook in receiver.received] == ["/hook"]
    (execution,) = api.get("/v1/executions").json()["executions"]
    (attempt,) = api.get(f"/v1/executions/{execution['id']}").json()["attempt_log"]
    assert (execution["status"], execution["http_status"], attempt["http_status"]) == ("retrying", 302, 302)
    assert "redirect" in attempt["error_message"]


# --- Bodies -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("nothing_stored")
def test_a_body_of_two_mebibytes_is_refused_by_its_length(api: Api) -> None:
    refused(create(api, payload={"filler": "x" * 2 * MIB}), 413, "request_too_large")


@pytest.mark.usefixtures("nothing_stored")
def test_a_body_of_two_mebibytes_is_refused_when_it_comes_in_chunks(api: Api) -> None:
    chunks = (b" " * 65_536 for _ in range(32))
    with wire(api.key) as client:
        refused(client.post("/v1/cues", content=chunks), 413, "request_too_large")


def test_a_chunked_body_that_fits_is_read(api: Api) -> None:
    text = json.dumps(CUE).encode()
    with wire(api.key) as client:
        answer = client.post("/v1/cues", content=(text[i : i + 10] for i in range(0, len(text), 10)))
    assert answer.status_code == 201, answer.content


def test_a_payload_that_fills_the_body_to_its_limit_is_stored(api: Api) -> None:
    room = MIB - len(json.dumps(CUE | {"payload": {"filler": ""}}))
    assert create(api, payload={"filler": "x" * room}).status_code == 201
    refused(create(api, payload={"filler": "x" * (room + 1)}), 413, "request_too_large")


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"{'name': 1}",
        b"name=x&cron=*",
        b'{"name": }',
        b"\xff\xfe\xfd",
        b'{"a": 1} {"b": 2}',
        b'{"payload": {"n": ' + b"9" * 5_000 + b"}}",
    ],
    ids=lambda body: body[:12].decode("latin-1"),
)
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_broken_json_is_refused(api: Api, method: str, body: bytes) -> None:
    path = "/v1/cues" if method == "POST" else "/v1/auth/me"
    refused(api.send(method, path, body), 400, "invalid_json")


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize("body", [b"null", b"[]", b'"x"', b"5", b"true", b"[{}]"])
def test_a_body_that_is_no_object_is_refused(api: Api, body: bytes) -> None:
    refused(api.send("POST", "/v1/cues", body), 422, "validation_error", "body")


def in_name(text: str) -> bytes:
    return json.dumps(CUE).replace('"nightly-digest"', text).encode()


def in_payload(text: str) -> bytes:
    return json.dumps(CUE | {"payload": {"deep": ["@"]}}).replace('"@"', text).encode()


UNSTORABLE = [r'"a\u0000b"', r'"\ud800"', r'"\udc00\ud800"', "NaN", "Infinity", "-Infinity", "1e999", r'{"\u0000": 1}']


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize("text", UNSTORABLE)
def test_what_no_database_can_store_is_refused_wherever_it_stands(api: Api, text: str) -> None:
    refused(api.send("POST", "/v1/cues", in_payload(text)), 400, "invalid_payload")
    refused(api.send("POST", "/v1/cues", in_name(text)), 422, "validation_error", "body.name")


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize("levels", [101, 1_000, 100_000])
@pytest.mark.parametrize("brackets", ["[]", '{"a":}'])
def test_deep_nesting_is_refused(api: Api, levels: int, brackets: str) -> None:
    opening, closing = brackets[:-1], brackets[-1]
    answer = api.send("POST", "/v1/cues", in_payload(opening * levels + "1" + closing * levels))
    assert answer.status_code == 400, answer.content
    assert refused(answer, 400, answer.json()["error"]["code"])["code"] in ("invalid_payload", "invalid_json")


@pytest.mark.parametrize("text", ["9" * 4000, "1e308", "-1e308", "5e-324", "1" + "0" * 308, "0.1", "-0.0", str(2**64)])
def test_a_number_of_any_size_is_kept(api: Api, text: str) -> None:
    answer = api.send("POST", "/v1/cues", in_payload(text))
    assert answer.status_code == 201, answer.content
    (kept,) = api.get(f"/v1/cues/{answer.json()['id']}").json()["payload"]["deep"]
    number = json.loads(text)
    assert type(number)(kept) == number  # PostgreSQL writes 1e308 out as a whole number


def test_of_duplicate_keys_the_last_one_counts(api: Api) -> None:
    text = json.dumps(CUE)[:-1] + ', "name": "last"}'
    assert api.send("POST", "/v1/cues", text.encode()).json()["name"] == "last"


# --- Content types ----------------------------------------------------------------------------------------------

CONTENT_TYPES = [
    FORM,
    "multipart/form-data; boundary=x",
    "text/plain",
    "application/xml",
    "nonsense",
    "a/b; charset=nope",
    "",
]


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_the_body_is_json_whatever_the_content_type_says(api: Api, content_type: str) -> None:
    answer = api.post("/v1/cues", CUE, **{"Content-Type": content_type})
    assert (answer.status_code, answer.json()["name"]) == (201, "nightly-digest")


def test_the_body_is_json_without_a_content_type(api: Api) -> None:
    with wire(api.key) as client:
        answer = client.post("/v1/cues", content=json.dumps(CUE))
    assert answer.status_code == 201, answer.content
