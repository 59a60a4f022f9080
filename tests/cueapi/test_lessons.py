"""Every example that an error gives would work: in its field, in the query, as the call that it names."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.urls import get_resolver, resolve
from rest_framework import serializers

from cueapi import lessons
from cueapi.fields import Part
from cueapi.problems import validation_failed
from tests.support import make
from tests.support.api import Api

CALL = re.compile(r"(GET|POST|PATCH|DELETE) (/\S+)")


# --- Of fields --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "example"),
    [
        ("body.retry.max_attempts", 3),
        ("body.retry.backoff_minutes.0", [1, 5, 15]),
        ("body.callback.headers.X-Team", {"X-Team": "ops"}),
        ("body.email", "ada@example.org"),
        ("body.on_failure.email", True),
        ("body.payload.email", {"task": "digest"}),
        ("body.metadata.rows.limit", {"rows": 12}),
        ("query.limit", 20),
        ("nowhere", None),
    ],
)
def test_a_field_s_example_is_its_own_or_the_nearest(field: str, example: object) -> None:
    assert lessons.example_for(field) == example


def parts(base: type[Part] = Part) -> Iterator[type[Part]]:
    """Every serializer of what is sent."""
    _ = get_resolver().url_patterns  # imports every app's views, and with them their serializers
    for kind in base.__subclasses__():
        yield from (kind, *parts(kind))


def fields_of(part: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name, field in part.fields.items():
        yield f"{path}.{name}", field
        if isinstance(field, serializers.Serializer):
            yield from fields_of(field, f"{path}.{name}")


def roots() -> list[type[Part]]:
    """Those that are a whole body."""
    every = set(parts())
    inside = {type(field) for kind in every for _, field in fields_of(kind(), "body")}
    return sorted(every - inside, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("root", roots(), ids=lambda root: root.__name__)
def test_the_example_of_every_field_would_work_there(root: type[Part]) -> None:
    for path, field in fields_of(root(), "body"):
        example = lessons.example_for(path)
        assert example is not None, path
        try:
            field.run_validation(example)
        except serializers.ValidationError as error:
            pytest.fail(f"{path}: {example!r} is refused: {validation_failed(error.detail)}")


@pytest.mark.django_db
def test_the_example_of_every_query_parameter_would_work_there(api: Api) -> None:
    cue = make.recurring(api.account)
    checked = [(path, name) for path, name, schema in query_parameters(api) if schema != {"type": "string"}]
    assert len(checked) > 8
    for path, name in checked:
        example = lessons.example_for(f"query.{name}")
        assert example is not None, name
        answer = api.get(path.replace("{cue_id}", cue.pk), **{name: example})
        assert answer.status_code == 200, (path, name, answer.content)


def query_parameters(api: Api) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, name and schema of each; a schema that is not just a string is one that something checks."""
    for path, methods in api.get("/v1/openapi.json").json()["paths"].items():
        for one in methods.get("get", {}).get("parameters", []):
            if one["in"] == "query":
                yield path, one["name"], one["schema"]


# --- Of errors --------------------------------------------------------------------------------------------------


def test_every_call_that_an_error_names_is_answered_here() -> None:
    named = [call for lesson in lessons.LESSONS.values() for call in CALL.findall(str(lesson.example))]
    assert len(named) > 8
    for method, path in named:
        assert method.lower() in dir(resolve(path.partition("?")[0]).func.cls), (method, path)


def test_a_lesson_without_an_example_has_none_that_would_always_work() -> None:
    without = {code for code, lesson in lessons.LESSONS.items() if lesson.example is None}
    assert without == {"validation_error", "invalid_token", "conflict", "service_unavailable"}
