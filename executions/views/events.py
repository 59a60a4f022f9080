"""Door: the account's executions as a stream of events (Server-Sent Events, as browsers' EventSource reads them)."""

import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request

from cueapi import clock, streams, wakeups
from cueapi.api import ApiView, account_of
from cueapi.conf import conf
from cueapi.errors import ValidationFailed
from cueapi.models import Account
from cueapi.openapi import refuses
from cueapi.streams import Place
from executions import feed
from executions.feed import Position, Unreadable, Wanted
from executions.serializers import events as shapes
from executions.states import Status

LOOK_EVERY_S = 1.0
HEARTBEAT_S = 15.0
RESUMED_WITHIN = timedelta(hours=24)
LAST_EVENT_ID = "Last-Event-ID"


class EventsView(ApiView):
    @refuses("422 validation_error")
    @extend_schema(
        operation_id="stream_events",
        parameters=[
            OpenApiParameter("cue_id", str),
            OpenApiParameter("status", str, description=f"comma list of {', '.join(Status.values)}"),
            OpenApiParameter(LAST_EVENT_ID, str, OpenApiParameter.HEADER, description="go on after this event"),
        ],
        responses={(200, "text/event-stream"): OpenApiTypes.STR},
        summary="Your executions as they change, as Server-Sent Events",
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        account, wanted = account_of(request), _wanted(request)
        stream = Stream(account, wanted, _position(request, now=clock.now()))
        response = StreamingHttpResponse(stream, content_type="text/event-stream; charset=utf-8")
        response.headers["Cache-Control"] = "no-cache"
        response.headers["X-Accel-Buffering"] = "no"  # or a proxy keeps events until there are many
        return response


class Stream:
    """The bytes of one stream. It has its place from the start on, so that a refusal is still an answer."""

    def __init__(self, account: Account, wanted: Wanted, position: Position, heartbeat_s: float = HEARTBEAT_S) -> None:
        self._account, self._wanted, self._position = account, wanted, position
        self._heartbeat_s = heartbeat_s
        self._held = ExitStack()
        self._place: Place = self._held.enter_context(streams.place(account.pk))

    def close(self) -> None:
        """The caller has gone, or the stream is over."""
        self._held.close()

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield shapes.hello(self._position)
            yield from self._told()
            yield shapes.farewell(self._position)
        finally:
            self.close()

    def _told(self) -> Iterator[bytes]:
        seat, ends_s = self._place.seat, time.monotonic() + conf().event_stream_seconds
        beats_s = time.monotonic() + self._heartbeat_s
        while True:
            seat.clear()
            has_more = yield from self._look()
            left_s = ends_s - time.monotonic()
            if left_s <= 0 or seat.is_released:
                return
            if time.monotonic() >= beats_s:
                self._place.keep()
                yield shapes.heartbeat(self._position)
                beats_s = time.monotonic() + self._heartbeat_s
            if not has_more:
                seat.wait(min(LOOK_EVERY_S, left_s))

    def _look(self) -> Generator[bytes, None, bool]:
        found = feed.look(self._account, self._wanted, self._position, now=clock.now())
        wakeups.let_go_of_database()
        for change in found.changes:
            yield shapes.event(change)
        self._position = found.position
        return found.has_more


def _wanted(request: Request) -> Wanted:
    """The query's filters. Raises ValidationFailed."""
    cue_id, text = request.query_params.get("cue_id"), request.query_params.get("status")
    cue_id = None if cue_id is None else cue_id.replace("\x00", "\ufffd")
    if text is None:
        return Wanted(cue_id)
    statuses = {name.strip() for name in text.split(",") if name.strip()}
    if not statuses or not statuses <= set(Status.values):
        raise ValidationFailed.of("query.status", f"must be a comma list of: {', '.join(Status.values)}")
    return Wanted(cue_id, sorted(statuses))


def _position(request: Request, *, now: datetime) -> Position:
    """Where to go on; now, for who comes without an id. Raises ValidationFailed."""
    text = request.headers.get(LAST_EVENT_ID, "").strip()
    if not text:
        return Position(now)
    try:
        position = Position.parse(text)
    except Unreadable:
        message = "is not an id of an event of ours. Leave it out to start from now"
        raise ValidationFailed.of(f"header.{LAST_EVENT_ID}", message) from None
    if not now - RESUMED_WITHIN <= position.at <= now + clock.SKEW:
        message = "is over 24 hours old. Leave it out to start from now, and list what you missed"
        raise ValidationFailed.of(f"header.{LAST_EVENT_ID}", message)
    return position
