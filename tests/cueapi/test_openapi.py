"""The OpenAPI document: made without a complaint, complete, and shown by a page that needs nobody else."""

import io
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.urls import URLPattern, URLResolver, get_resolver

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


def test_every_operation_has_its_own_name_a_summary_and_the_error(document: dict[str, Any]) -> None:
    found = list(operations(document))
    names = [operation["operationId"] for _, operation in found]
    assert len(names) == len(set(names))
    for name, operation in found:
        assert operation["summary"], name
        assert "ErrorAnswer" in str(operation["responses"]["default"]), name


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


def test_the_front_door_leads_to_the_page(anyone: Api) -> None:
    answer = anyone.get("/")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/docs")
