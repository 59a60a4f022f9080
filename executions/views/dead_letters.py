"""Doors: the list of what ended badly, and replaying many of it with one call."""

from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from cueapi import clock
from cueapi.api import ApiView, account_of, checked
from cueapi.errors import ValidationFailed
from cueapi.ids import parse_execution_id
from cueapi.models import ApiKey
from cueapi.openapi import leads_to, page_parameters, refuses
from cueapi.pagination import flag, page
from cues.zones import instant_in
from executions import dead_letters, handling, outcomes
from executions.dead_letters import LIMIT_DEFAULT, Filters, Order
from executions.failures import ErrorClass
from executions.firing import ReplayOf
from executions.serializers import dead_letters as shapes

LIST_LIMIT = 20
UTC = ZoneInfo("UTC")


class DeadLetterListView(ApiView):
    @refuses("422 validation_error")
    @leads_to("get_execution", "replay_execution", execution_id="dead_letters/0/id")
    @extend_schema(
        operation_id="list_dead_letters",
        parameters=[
            OpenApiParameter("cue_id", str),
            OpenApiParameter("error_class", str, enum=ErrorClass.values),
            OpenApiParameter("since", datetime, description="RFC 3339: ended then or later"),
            OpenApiParameter("until", datetime, description="RFC 3339: ended before that"),
            OpenApiParameter("replayed", bool, description="true: only those with a replay; false: only those without"),
            OpenApiParameter("handled", bool, description="true: only those marked as handled; false: only the others"),
            *page_parameters(),
        ],
        responses={200: shapes.DeadLetterList},
        summary="Your executions that ended badly, the newest end first",
    )
    def get(self, request: Request) -> Response:
        wanted = page(request, default=LIST_LIMIT)
        found = dead_letters.find(account_of(request), _filters(request))
        total, letters = found.count(), wanted.of(found)
        replays = dead_letters.replays_of(letter.pk for letter in letters)
        return Response(
            {
                "dead_letters": [shapes.render(letter, replays.get(letter.pk, ())) for letter in letters],
                "total": total,
                "limit": wanted.limit,
                "offset": wanted.offset,
                "has_more": wanted.offset + wanted.limit < total,
            }
        )


class DeadLetterReplayView(ApiView):
    @refuses("403 execution_limit_exceeded", "404 cue_not_found")
    @leads_to("get_execution", execution_id="execution_ids/0")
    @extend_schema(
        operation_id="replay_dead_letters",
        request=shapes.DeadLetterReplayIn,
        responses={200: shapes.DeadLettersReplayed},
        summary="Run dead letters again, each once, the oldest first; with dry_run only count them",
    )
    def post(self, request: Request) -> Response:
        body = shapes.DeadLetterReplayIn(data=request.data)
        for name in request.query_params:
            if name in body.fields:
                raise ValidationFailed.of(f"query.{name}", f'belongs in the body: {{"{name}": …}}')
        report = dead_letters.replay(account_of(request), _order(checked(body)), now=clock.now())
        return Response(shapes.render_report(report))


class HandledView(ApiView):
    @refuses("404 execution_not_found", "409 not_a_dead_letter")
    @extend_schema(
        operation_id="mark_as_handled",
        request=None,
        responses={200: shapes.Handled},
        summary="Say that somebody dealt with a dead letter; it leaves the list of those to be looked at",
    )
    def put(self, request: Request, execution_id: str) -> Response:
        return self._mark(request, execution_id, handled=True)

    @refuses("404 execution_not_found", "409 not_a_dead_letter")
    @extend_schema(
        operation_id="unmark_as_handled",
        request=None,
        responses={200: shapes.Handled},
        summary="Put a dead letter back on the list of those to be looked at",
    )
    def delete(self, request: Request, execution_id: str) -> Response:
        return self._mark(request, execution_id, handled=False)

    def _mark(self, request: Request, execution_id: str, *, handled: bool) -> Response:
        execution = outcomes.find(account_of(request), parse_execution_id(execution_id))
        marked = handling.mark_one(execution, handled=handled, by=_caller(request), now=clock.now())
        return Response(shapes.render_handled(marked))


def _caller(request: Request) -> str:
    """The key's first characters; of a session, the address."""
    return f"{request.auth.prefix}…" if isinstance(request.auth, ApiKey) else account_of(request).email


def _filters(request: Request) -> Filters:
    """The query's. Raises ValidationFailed for what cannot be read; a cue that is not there matches nothing."""
    query = request.query_params
    error_class = query.get("error_class")
    if error_class is not None and error_class not in ErrorClass.values:
        raise ValidationFailed.of("query.error_class", f"must be one of: {', '.join(ErrorClass.values)}")
    return Filters(
        cue_id=query["cue_id"].replace("\x00", "\ufffd") if "cue_id" in query else None,
        error_class=error_class,
        since=_instant(query.get("since"), where="query.since"),
        until=_instant(query.get("until"), where="query.until"),
        replayed=flag(request, "replayed"),
        handled=flag(request, "handled"),
    )


def _order(body: dict[str, Any]) -> Order:
    """Raises ValidationFailed for an instant that is none."""
    named = body.get("execution_ids")
    ids, unknown = _ids(named) if named is not None else (None, 0)
    filters = Filters(
        cue_id=body.get("cue_id"),
        error_class=body.get("error_class"),
        since=_instant(body.get("since"), where="body.since"),
        until=_instant(body.get("until"), where="body.until"),
        handled=None if ids is not None or body.get("include_handled") else False,
        ids=ids,
    )
    return Order(
        filters,
        named=None if ids is None else len(ids) + unknown,
        definition=ReplayOf(body.get("definition") or ReplayOf.AS_SENT),
        limit=body.get("limit") or LIMIT_DEFAULT,
        include_replayed=bool(body.get("include_replayed")),
        dry_run=bool(body.get("dry_run")),
    )


def _ids(texts: list[str]) -> tuple[list[UUID], int]:
    """The ids that these are, each once, and how many are none."""
    read = {text: parse_execution_id(text) for text in texts}
    return list({pk for pk in read.values() if pk}), sum(pk is None for pk in read.values())


def _instant(text: str | None, *, where: str) -> datetime | None:
    return None if text is None else instant_in(text, UTC, where=where)
