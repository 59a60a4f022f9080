"""Calls made by machine from our own OpenAPI document, and answers held against it.

Schemathesis reads the document and makes calls from it: the boundaries of each field, random values, valid and not,
and chains of calls along the links. The application answers in this process. No answer may be a 5xx, have a status,
content type, shape, header or error code that is not documented, or be an error outside the envelope.
"""

import itertools
import os
import random
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, reduce
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.core.failures import FailureGroup
from schemathesis.engine import events, from_schema
from schemathesis.specs.openapi.checks import negative_data_rejection

from tests.support.envelope import in_envelope

DOCUMENT = "/v1/openapi.json"
CALLS_PER_LINE = 500
CHAINS_PER_EXAMPLE = 3
STEPS_OF_CHAIN = 8

# What makes a new cue a good one; made of random parts, hardly any would be.
WORKS = {
    "schedule": {"type": "one-time"},
    "callback": {"url": "http://127.0.0.1:9/hook"},
    **dict.fromkeys(("on_success_fire", "require_payload_override", "required_payload_keys")),
}
PROBLEM_JSON = "application/problem+json"

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "invalid_data_is_refused",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
    "use_after_free",
    "ensure_resource_availability",
    "error_has_the_envelope",
    "error_code_is_documented",
)
"""Not positive_data_acceptance: no schema can say that a cron comes due, or that a text has no U+0000."""

CANNOT_SUCCEED = {
    "GET /v1/auth/key": "the server keeps no copy of a key by default",
    "GET /v1/auth/verify": "the token is in a mail",
    "POST /v1/auth/verify": "the token is in a mail",
    "POST /v1/auth/session": "the token comes with an approved login",
    "POST /v1/auth/session/refresh": "the calls carry a key, not a session",
    "POST /v1/auth/device-code/submit-email": "the code is one that an earlier call made up",
}

# What the document names with a format of its own, and formats that hypothesis would take too literally.
FORMATS = {
    "cron": st.sampled_from(["*/5 * * * *", "@daily", "0 9 * * MON-FRI", "30 2 1 * *"]),
    "timezone": st.sampled_from(["UTC", "Europe/Paris", "Asia/Kolkata"]),
    "uri": st.sampled_from(["https://hooks.example.org/x?y=1", "http://127.0.0.1:9/hook"]),
    "date-time": st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2200, 1, 1)).map(  # noqa: DTZ001
        lambda at: at.replace(tzinfo=UTC).isoformat()
    ),
}
for name, values in FORMATS.items():
    schemathesis.openapi.format(name, values)


@dataclass(frozen=True)
class Effort:
    """How many examples each operation gets; without a seed, the same ones every time."""

    examples: int
    with_boundaries: bool = True  # the boundaries of each field, some thirty calls an operation
    seed: int | None = None

    @classmethod
    def from_environment(cls, otherwise: "Effort") -> "Effort":
        """What `tests.proofs.contract` asks for, when it runs this."""
        examples, seed = os.environ.get("CONTRACT_EXAMPLES"), os.environ.get("CONTRACT_SEED")
        return cls(int(examples), seed=int(seed)) if examples and seed else otherwise


@dataclass
class Found:
    """What came of it: each kind of fault once, by operation."""

    faults: dict[tuple[str, str], str] = field(default_factory=dict)
    operations: set[str] = field(default_factory=set)
    succeeded: set[str] = field(default_factory=set)
    calls: int = 0

    @property
    def never_succeeded(self) -> set[str]:
        return self.operations - self.succeeded - set(CANNOT_SUCCEED)


Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Any]


class Caller:
    """The application, as if each call came from another address, every other one from a client that likes problem
    documents, and each Idempotency-Key were new.

    `afterwards` is called with the path when a call is done.
    """

    def __init__(self, application: Wsgi, afterwards: Callable[[str], None] = lambda path: None) -> None:
        self._application = application
        self._afterwards = afterwards
        self._numbers = itertools.count(1)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        number = next(self._numbers)
        environ["REMOTE_ADDR"] = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        if number % 2:
            environ["HTTP_ACCEPT"] = PROBLEM_JSON
        if 0 < len(environ.get("HTTP_IDEMPOTENCY_KEY", "")) < 200:
            environ["HTTP_IDEMPOTENCY_KEY"] += f"-{number}"
        with closing(self._application(environ, start_response)) as answer:  # the client would not; its thread ends
            body = b"".join(answer)
            self._afterwards(environ["PATH_INFO"])
        return [body]


def prove(application: Wsgi, key: str, effort: Effort, *, only: str | None = None) -> Found:
    """Call each operation of the application's own document (or `only` that with this id) with the key."""
    schema = schemathesis.openapi.from_wsgi(DOCUMENT, application, config=_config(key, effort))
    if only is not None:
        schema = schema.include(operation_id=only)
    found = Found()
    for event in from_schema(schema).execute():
        if isinstance(event, events.PhaseStarted):
            print(f"{event.phase.name.value}, after {found.calls} calls", flush=True)
        elif isinstance(event, events.NonFatalError):
            _note(found, event.label, event.info.title, event.info.message)
        elif isinstance(event, events.ScenarioFinished):
            _take(found, event)
    if only is None:
        print(f"chains along the links, after {found.calls} calls", flush=True)
        _follow_links(schema, key, effort, found)
    return found


def _config(key: str, effort: Effort) -> schemathesis.Config:
    return schemathesis.Config.from_dict(
        {
            "headers": {"Authorization": f"Bearer {key}"},
            "generation": {"max-examples": effort.examples, "deterministic": effort.seed is None, "database": "none"},
            "checks": {"enabled": False, **{name: {"enabled": True} for name in CHECKS}},
            "phases": {"coverage": {"enabled": effort.with_boundaries}, "stateful": {"enabled": False}},
            "output": {"sanitization": {"enabled": False}},
            **({} if effort.seed is None else {"seed": effort.seed}),
        }
    )


def _take(found: Found, event: events.ScenarioFinished) -> None:
    before = found.calls
    for case_id, interaction in event.recorder.interactions.items():
        operation = event.recorder.cases[case_id].value.operation.label
        found.calls += 1
        found.operations.add(operation)
        if interaction.response is not None and interaction.response.status_code < 300:
            found.succeeded.add(operation)
        for check in event.recorder.checks.get(case_id, ()):
            if check.failure_info is not None:
                failure = check.failure_info.failure
                _note(found, operation, check.name, f"{failure.message}\n{check.failure_info.code_sample}")
    if found.calls // CALLS_PER_LINE > before // CALLS_PER_LINE:
        print(
            f"  {found.calls} calls; {len(found.succeeded)} operations succeeded, {len(found.faults)} faults",
            flush=True,
        )


def _follow_links(schema: Any, key: str, effort: Effort, found: Found) -> None:
    """From a new cue, call what any answer of the chain leads to, with the values that its links hand on.

    Schemathesis's own state machine begins at any operation and hardly ever takes a second step here.
    """
    chance = random.Random(effort.seed or 0)
    operations = {one.ok().definition.raw["operationId"]: one.ok() for one in schema.get_all_operations()}
    cases = cache(lambda name: _valid_cases(operations[name], effort))
    for _ in range(effort.examples * CHAINS_PER_EXAMPLE):
        links = [Link("create_cue", {}), Link("list_alerts", {}), Link("heartbeat_worker", {})]
        for step in range(STEPS_OF_CHAIN):
            link = links[0] if step == 0 else chance.choice(links)
            case = chance.choice(cases(link.operation))
            case.path_parameters = {**(case.path_parameters or {}), **link.parameters}
            if step == 0:
                case.body |= WORKS | {"transport": chance.choice(["webhook", "worker"])}
            links += _answered(case, key, found)


def _valid_cases(operation: Any, effort: Effort) -> list[Any]:
    found = []

    @seed(effort.seed or 0)
    @settings(
        max_examples=effort.examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy())
    def collect(case: Any) -> None:
        found.append(case)

    collect()
    return found


@dataclass(frozen=True)
class Link:
    """A call that an answer made possible: the operation's id, and values of its parameters."""

    operation: str
    parameters: Mapping[str, Any]


def _answered(case: Any, key: str, found: Found) -> list[Link]:
    """Make the call, check its answer, and see what that leads to."""
    label = case.operation.label
    response = case.call(headers={"Authorization": f"Bearer {key}"})
    found.calls += 1
    if response.status_code < 300:
        found.succeeded.add(label)
    try:
        case.validate_response(response)
    except FailureGroup as group:
        for failure in group.exceptions:
            _note(found, label, type(failure).__name__, f"{failure}\n{case.as_curl_command()}")
    documented = case.operation.definition.raw["responses"].get(str(response.status_code), {})
    body = response.json() if documented.get("links") else None
    made = [_link(link, case, body) for link in documented.get("links", {}).values()]
    return [link for link in made if link is not None]


def _link(link: Mapping[str, Any], case: Any, body: Any) -> Link | None:
    """The link with its values; None when the answer lacks one, as an empty list does."""
    sources = {"$request.path": case.path_parameters, "$request.body": case.body, "$response.body": body}
    values = {}
    for name, expression in link["parameters"].items():
        source, _, place = expression.replace("$request.path.", "$request.path#/").partition("#/")
        try:
            values[name] = reduce(_inside, place.split("/"), sources[source])
        except (KeyError, IndexError):
            return None
    return Link(link["operationId"], values)


def _inside(value: Any, key: str) -> Any:
    return value[int(key)] if isinstance(value, list) else value[key]


def _note(found: Found, operation: str, check: str, text: str) -> None:
    if (operation, check) not in found.faults:
        print(f"FAULT {operation}: {check}\n{text}", flush=True)
        found.faults[operation, check] = text


@schemathesis.check
def invalid_data_is_refused(ctx: Any, response: Any, case: Any) -> Any:
    """Schemathesis's own check, but for a body of white space alone: that is no body, as an empty one."""
    is_blank = isinstance(case.body, bytes) and not case.body.strip()
    return None if is_blank else negative_data_rejection(ctx, response, case)


@schemathesis.check
def error_has_the_envelope(ctx: Any, response: Any, case: Any) -> None:
    """Or is a problem document, whose shape the document tells."""
    if _kind(response) == "application/json" and response.status_code >= 400:
        assert set(response.json()) == {"error", "detail"}
        in_envelope(response)


@schemathesis.check
def error_code_is_documented(ctx: Any, response: Any, case: Any) -> None:
    documented = case.operation.definition.raw["responses"].get(str(response.status_code), {}).get("x-codes")
    if documented is not None and "json" in _kind(response):
        body = response.json()
        code = body.get("code") or body["error"]["code"]
        assert code in documented, f"{response.status_code} {code} is not documented"


def _kind(response: Any) -> str:
    return str(response.headers.get("content-type", [""])[0])
