"""The OpenAPI document: made without a complaint, complete, and shown by a page that needs nobody else."""

import io
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.urls import URLPattern, URLResolver, get_resolver

from cueapi import __version__, lessons
from tests.support.api import Api

pytestmark = pytest.mark.django_db

UNDOCUMENTED = {"/v1/openapi.json"}


@pytest.fixture
def document(anyone: Api) -> dict[str, Any]:
    answer = anyone.get("/v1/openapi.json")
    assert answer.status_code == 200
    loaded: dict[str, Any] = answer.json()
    return loaded


def routes(patterns: list[URLPattern | URLResolver], prefix: str = "/") -> Iterator[tuple[str, Any]]:
    """Each path of the URL configuration as OpenAPI spells it, with its view."""
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, path)
        else:
            yield re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", path), pattern.callback


def api_routes() -> dict[str, Any]:
    found = routes(get_resolver().url_patterns)
    return {path: view for path, view in found if path.startswith("/v1/") and path not in UNDOCUMENTED}


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_the_document_is_made_and_valid_without_a_warning() -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=io.StringIO())


def test_every_path_of_the_api_is_in_the_document(document: dict[str, Any]) -> None:
    assert len(api_routes()) > 15
    assert set(api_routes()) <= set(document["paths"])
    assert {"/health", "/status"} <= set(document["paths"])


def test_every_method_of_every_path_is_in_the_document(document: dict[str, Any]) -> None:
    for path, view in api_routes().items():
        answers = {name for name in ("get", "post", "put", "patch", "delete") if hasattr(view.cls, name)}
        assert set(document["paths"][path]) == answers, path


def test_every_operation_has_its_own_name_and_a_summary(document: dict[str, Any]) -> None:
    found = list(operations(document))
    names = [operation["operationId"] for _, operation in found]
    assert len(names) == len(set(names))
    for name, operation in found:
        assert operation["summary"], name


def test_what_is_said_to_readers_of_the_source_stays_there(document: dict[str, Any]) -> None:
    assert [name for name, operation in operations(document) if "description" in operation] == []
    schemas = document["components"]["schemas"]
    assert "description" not in schemas["ScheduleInRequest"]
    assert schemas["CueOut"]["description"] == "A cue as the API shows it."


def test_it_is_of_the_version_that_runs(document: dict[str, Any]) -> None:
    assert document["info"]["version"] == __version__


# --- Errors -----------------------------------------------------------------------------------------------------


def codes_of(operation: dict[str, Any]) -> dict[str, set[str]]:
    """The error codes of each status, by status."""
    answers = operation["responses"].items()
    return {status: set(answer["x-codes"]) for status, answer in answers if "x-codes" in answer}


def documented_codes(document: dict[str, Any]) -> set[str]:
    return set().union(*(codes for _, operation in operations(document) for codes in codes_of(operation).values()))


def operation_of(document: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [operation for _, operation in operations(document) if operation["operationId"] == name]
    return found


def test_every_error_has_its_codes_and_both_its_shapes(document: dict[str, Any]) -> None:
    otherwise = {"GET /status 503", "GET /v1/auth/verify 400", "POST /v1/auth/verify 400"}  # their own JSON, and HTML
    for name, operation in operations(document):
        for status, answer in operation["responses"].items():
            if status < "400" or f"{name} {status}" in otherwise:
                continue
            assert answer["x-codes"] and all(f"`{code}`: " in answer["description"] for code in answer["x-codes"])
            shapes = {media: body["schema"].get("$ref", "") for media, body in answer["content"].items()}
            assert shapes["application/json"].endswith("/ErrorAnswer"), name
            assert shapes["application/problem+json"].endswith("/ProblemAnswer"), name


def test_every_documented_code_has_its_lesson(document: dict[str, Any]) -> None:
    assert documented_codes(document) - set(lessons.LESSONS) == set()


def test_every_code_is_documented_but_those_of_no_operation(document: dict[str, Any]) -> None:
    nowhere = {"invalid_request", "forbidden", "method_not_allowed", "conflict", "no_webhook_secret"}
    nowhere |= {"internal_error", "database_unavailable"}  # any operation may
    assert set(lessons.LESSONS) - documented_codes(document) <= nowhere


def test_what_a_call_may_always_meet_depends_on_its_kind(document: dict[str, Any]) -> None:
    assert codes_of(operation_of(document, "info")) == {}
    assert set(codes_of(operation_of(document, "usage"))) == {"401", "429"}
    assert set(codes_of(operation_of(document, "register"))) == {"400", "404", "409", "413", "422", "429"}
    created = codes_of(operation_of(document, "create_cue"))
    assert {"invalid_json", "invalid_schedule"} <= created["400"]
    assert created["409"] == {"duplicate_cue_name", "idempotency_key_conflict"}
    assert codes_of(operation_of(document, "get_cue"))["404"] == {"cue_not_found", "not_found"}
    assert codes_of(operation_of(document, "report_outcome"))["401"] >= {"invalid_token", "invalid_api_key"}


# --- Requests ---------------------------------------------------------------------------------------------------


def test_every_body_is_json(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        if "requestBody" in operation:
            assert set(operation["requestBody"]["content"]) == {"application/json"}, name


def headers_of(document: dict[str, Any], name: str) -> dict[str, bool]:
    """The header parameters, and whether each is required."""
    parameters = operation_of(document, name).get("parameters", [])
    return {one["name"]: one.get("required", False) for one in parameters if one["in"] == "header"}


def test_what_cannot_be_undone_requires_a_confirmation(document: dict[str, Any]) -> None:
    assert headers_of(document, "revoke_key") == {"X-Confirm-Destructive": True}
    assert headers_of(document, "bulk_delete_cues") == {"X-Confirm-Destructive": True, "Idempotency-Key": False}
    assert headers_of(document, "delete_cue") == {}


def test_a_post_with_a_key_may_be_repeated(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        names = [parameter["name"] for parameter in operation.get("parameters", [])]
        wanted = name.startswith("POST") and bool(operation.get("security"))
        assert ("Idempotency-Key" in names) == wanted, name


def test_a_patch_requires_what_it_cannot_do_without(document: dict[str, Any]) -> None:
    content = operation_of(document, "rename_key")["requestBody"]["content"]["application/json"]
    schema = document["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
    assert schema["required"] == ["label"]


# --- Links ------------------------------------------------------------------------------------------------------


def links(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each link, with the operation that has it."""
    for name, operation in operations(document):
        for answer in operation["responses"].values():
            yield from ((name, link) for link in answer.get("links", {}).values())


def test_links_lead_to_operations_and_fill_their_parameters(document: dict[str, Any]) -> None:
    found = list(links(document))
    assert len(found) > 20
    for name, link in found:
        target = operation_of(document, link["operationId"])
        known = {parameter["name"] for parameter in target.get("parameters", [])}
        assert set(link["parameters"]) <= known, (name, link)


def test_a_new_cue_leads_to_itself_and_a_claim_to_its_report(document: dict[str, Any]) -> None:
    led = {(name, link["operationId"]) for name, link in links(document)}
    assert {("POST /v1/cues", name) for name in ("get_cue", "update_cue", "fire_cue", "delete_cue")} <= led
    assert {("POST /v1/cues/{cue_id}/fire", name) for name in ("get_execution", "claim_execution")} <= led
    assert {("POST /v1/executions/claim", name) for name in ("heartbeat_execution", "report_outcome")} <= led
    assert {("POST /v1/auth/keys", name) for name in ("rename_key", "revoke_key")} <= led


# --- The page ---------------------------------------------------------------------------------------------------


def test_no_choice_has_a_made_up_name(document: dict[str, Any]) -> None:
    names = [name for name in document["components"]["schemas"] if name.endswith("Enum")]
    assert {"CueStatusEnum", "ExecutionStatusEnum"} <= set(names)
    assert not [name for name in names if re.search(r"[0-9]", name)]


def test_only_public_paths_need_no_key(document: dict[str, Any]) -> None:
    public = {name for name, operation in operations(document) if not operation.get("security")}
    assert {"GET /health", "GET /status", "GET /v1/info", "POST /v1/auth/register"} <= public
    assert not {"POST /v1/cues", "GET /v1/auth/me", "GET /v1/executions"} & public


def test_the_page_loads_only_what_this_server_has(anyone: Api) -> None:
    page = anyone.get("/docs")
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    links = re.findall(r"""(?:src|href)=["']([^"']+)["']""", page.content.decode())
    assert len(links) > 3
    for link in links:
        assert link.startswith("/") and not link.startswith("//"), link
        answer = anyone.get(link)
        assert answer.status_code == 200, link
        answer.close()


def test_the_page_has_no_script_of_its_own(anyone: Api) -> None:
    scripts = re.findall(r"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", anyone.get("/docs").content.decode(), re.S)
    assert [script for script in scripts if script.strip()] == []
