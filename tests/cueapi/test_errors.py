"""Each error has a code and a status of the contract's table (1.4), and tells its reader what to do next."""

from collections.abc import Iterator

import pytest
from django.urls import get_resolver

from cueapi import lessons
from cueapi.errors import ApiError, BadRequest, Conflict, Detail, Forbidden, RateLimited, Unauthorized, ValidationFailed

# Contract 1.4, as far as there is a class for it.
CONTRACT = {
    400: {"invalid_json", "invalid_schedule", "invalid_callback_url", "invalid_payload", "confirmation_required"},
    401: {"invalid_api_key"},
    403: {"cue_limit_exceeded", "not_execution_owner"},
    404: {
        "not_found",
        "cue_not_found",
        "execution_not_found",
        "worker_not_found",
        "alert_not_found",
        "destination_not_found",
    },
    405: {"method_not_allowed"},
    409: {
        *("duplicate_cue_name", "duplicate_email", "claim_failed", "execution_not_claiming", "no_outcome"),
        *("outcome_already_recorded", "invalid_state", "execution_in_flight", "idempotency_key_conflict"),
        "not_a_dead_letter",
    },
    410: {"plaintext_unavailable"},
    413: {"request_too_large", "payload_too_large"},
    422: {"validation_error", "invalid_timezone"},
    429: {"rate_limit_exceeded"},
    500: {"internal_error"},
    503: {"session_unavailable", "service_unavailable", "database_unavailable"},
}
BASES = {BadRequest, Forbidden, Conflict}  # raised with a code of their own, or for what has none


def every_error(base: type[ApiError] = ApiError) -> Iterator[type[ApiError]]:
    _ = get_resolver().url_patterns  # imports every app's views, and with them its errors
    yield base
    for kind in base.__subclasses__():
        yield from every_error(kind)


def test_every_error_is_one_of_the_contract() -> None:
    for kind in every_error():
        assert kind in BASES or kind.code in CONTRACT[kind.status], kind


def test_every_error_has_its_lesson() -> None:
    assert {kind.code for kind in every_error()} <= set(lessons.LESSONS)
    for lesson in lessons.LESSONS.values():
        assert lesson.title and lesson.expected


def test_no_two_errors_share_a_code() -> None:
    codes = [kind.code for kind in every_error()]
    assert len(codes) == len(set(codes)) > 15


def test_the_default_message_is_the_sentence_of_the_docstring() -> None:
    for kind in every_error():
        message = kind().message
        assert message == (kind.__doc__ or "").strip()
        assert message.isprintable() and message[0].isupper() and len(message) > 15, kind


def test_the_body_holds_the_error_and_its_mirror() -> None:
    body = ApiError("Out of order.").as_body()
    facts = {"code": "internal_error", "message": "Out of order.", "status": 500}
    assert body["detail"] == {"error": facts}
    assert {name: body["error"][name] for name in facts} == facts


def test_the_details_stand_beside_the_error_and_not_in_its_mirror() -> None:
    body = ValidationFailed.of("body.name", "must not be empty").as_body()
    example = "nightly-digest"
    assert body["error"]["details"] == [{"field": "body.name", "message": "must not be empty", "example": example}]
    assert (body["error"]["where"], body["error"]["example"]) == ("body.name", example)
    assert body["error"]["message"] == "body.name: must not be empty"
    assert "details" not in body["detail"]["error"]


def test_an_error_s_place_is_the_usual_one_of_its_code_unless_it_says_otherwise() -> None:
    assert BadRequest("No.", code="invalid_callback_url").lesson()["where"] == "body.callback.url"
    elsewhere = BadRequest("No.", code="invalid_callback_url", where="body.on_failure.webhook").lesson()
    assert (elsewhere["where"], elsewhere["example"]) == ("body.on_failure.webhook", "https://hooks.example.org/failed")


def test_several_details_keep_their_order() -> None:
    details = [Detail("body.b", "is late"), Detail("body.a", "is early")]
    body = ValidationFailed("Two things.", details=details).as_body()
    assert [item["field"] for item in body["error"]["details"]] == ["body.b", "body.a"]


def test_a_code_of_one_error_does_not_rub_off_on_the_next() -> None:
    assert Unauthorized(code="key_rotated").code == "key_rotated"
    assert Unauthorized().code == "invalid_api_key"


@pytest.mark.parametrize("error", [Unauthorized(), Unauthorized("No.", code="key_revoked")])
def test_every_401_names_the_scheme(error: Unauthorized) -> None:
    assert error.headers["WWW-Authenticate"].startswith("Bearer")


def test_headers_are_a_copy() -> None:
    headers = {"Retry-After": "1"}
    RateLimited(headers=headers).headers["Retry-After"] = "2"
    assert headers == {"Retry-After": "1"}
