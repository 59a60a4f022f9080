"""Filters of the admin's lists of executions, written so that an index answers each."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, cast
from zoneinfo import ZoneInfo

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from cueapi import clock
from cueapi.clock import rfc3339, utc_text
from cueapi.errors import ApiError
from cues.zones import instant_in
from executions.dead_letters import has_replay
from executions.models import Execution
from executions.overview import late
from executions.states import FAILURE, FINAL

SPANS = {
    "hour": ("In the last hour", timedelta(hours=1)),
    "day": ("In the last 24 hours", timedelta(days=1)),
    "week": ("In the last 7 days", timedelta(days=7)),
}
BETWEEN = ".."
UTC = ZoneInfo("UTC")


def ended_between(since: datetime, until: datetime) -> str:
    """The filter's word for what ended from `since` on, and before `until`."""
    return f"{rfc3339(since)}{BETWEEN}{rfc3339(until)}"


class StatusFilter(admin.ChoicesFieldListFilter):
    """Each status by the index of those that are open, or of those that ended badly."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Execution]) -> QuerySet[Execution]:
        rows: QuerySet[Execution] = cast(Any, super().queryset(request, queryset))
        chosen = {value for values in self.used_parameters.values() for value in _listed(values)}
        if chosen and chosen <= FAILURE:
            return rows.filter(error_class__isnull=False)
        return rows.filter(closed_at=None) if chosen and not chosen & FINAL else rows


def _listed(values: Any) -> Iterable[str]:
    return values if isinstance(values, list) else [str(values)]


class EndedFilter(admin.SimpleListFilter):
    """By when they ended: a span up to now, or `from..until`, as the bars of the first page have it."""

    title = "ended"
    parameter_name = "ended"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        spans = [(name, words) for name, (words, _) in SPANS.items()]
        asked = request.GET.get(self.parameter_name, "")
        between = _instants(asked)
        return [*spans, (asked, f"{utc_text(between[0])} to {utc_text(between[1])}")] if between else spans

    def queryset(self, request: HttpRequest, queryset: QuerySet[Execution]) -> QuerySet[Execution]:
        asked = self.value()
        return queryset if asked is None else queryset.filter(_within(asked))


class LateFilter(admin.SimpleListFilter):
    title = "late"
    parameter_name = "late"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Late to be sent, with nothing in the way")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Execution]) -> QuerySet[Execution]:
        return queryset.filter(late(clock.now())) if self.value() else queryset


class ToDoFilter(admin.SimpleListFilter):
    """Dead letters that wait for somebody, unless others are asked for."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("handled", "Marked as handled"), ("replayed", "Replayed"), ("all", "All")]

    def choices(self, changelist: Any) -> Iterator[Any]:
        first, *others = super().choices(changelist)
        yield {**first, "display": "To be looked at"}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[Execution]) -> QuerySet[Execution]:
        match self.value():
            case "handled":
                return queryset.filter(handled_at__isnull=False)
            case "replayed":
                return queryset.filter(has_replay())
            case "all":
                return queryset
            case None:
                return queryset.filter(handled_at=None).exclude(has_replay())
        raise IncorrectLookupParameters(self.parameter_name)


def _within(asked: str) -> Q:
    """Those with bodies and those without have an index of their ends each, so each is asked for by itself."""
    if asked in SPANS:
        ended = Q(closed_at__gte=clock.now() - SPANS[asked][1])
    elif between := _instants(asked):
        ended = Q(closed_at__gte=between[0], closed_at__lt=between[1], created_at__lt=between[1])
    else:
        raise IncorrectLookupParameters(asked)
    return (ended & Q(bodies_removed_at=None)) | (ended & Q(bodies_removed_at__isnull=False))


def _instants(asked: str) -> tuple[datetime, datetime] | None:
    try:
        since, until = (instant_in(text, UTC, where="ended") for text in asked.split(BETWEEN))
    except (ApiError, ValueError):
        return None
    return since, until
