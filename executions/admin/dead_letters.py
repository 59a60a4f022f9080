"""The admin's list of dead letters: what ended badly, worked through one by one, or all that match a filter at once."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.views import ChangeList

from cueapi import clock
from cueapi.clock import rfc3339
from cueapi.console import COUNTED_MAX, EMPTY, LightChangeList, badge, plain, utc
from cueapi.errors import ApiError
from cueapi.models import Account
from cues.zones import instant_in
from executions import dead_letters, handling
from executions.admin.executions import ExecutionAdmin, execution_link
from executions.admin.filters import UTC, EndedFilter, ToDoFilter
from executions.dead_letters import LIMIT_MAX, Filters, Order
from executions.firing import ReplayOf
from executions.models import DeadLetter, Execution

CUES_NAMED = 10
ACTS = {"replay": "Replay all that match", "handle": "Mark all that match as handled"}


class DeadLetterChangeList(LightChangeList):
    """The dead letters of a page with their replays, read together."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        letters = list(self.result_list)
        replays = dead_letters.replays_of([letter.pk for letter in letters])
        for letter in letters:
            letter.replayed_as = replays.get(letter.pk, ())
        self.result_list = letters


@admin.register(DeadLetter)
class DeadLetterAdmin(ExecutionAdmin):
    """Who may see and change executions may see and change these; the page of one is its execution's."""

    list_display: Any = (
        "short_id",
        "ended",
        "account",
        "cue_link",
        "why",
        "error",
        "destination",
        "attempts",
        "became",
    )
    list_display_links = None
    list_filter: Any = (ToDoFilter, "error_class", EndedFilter, "transport")
    list_select_related: Any = ("cue", "account")
    list_defer = (
        *ExecutionAdmin.list_defer,
        "account__webhook_secret",
        "account__alert_webhook_secret",
        "account__previous_webhook_secret",
    )
    list_before_template = "executions/admin/dead_letters_head.html"
    search_help_text = "The whole id of an execution or a cue, an account's address, a destination, or part of a name"
    ordering = ("-closed_at",)
    actions: Any = ("replay", "replay_current", "handle", "unhandle")
    ended = utc("closed_at", "ended")
    destination = plain("lane", "destination")

    @display(description="execution")
    def short_id(self, letter: Execution) -> SafeString:
        return execution_link(letter.pk)

    @display(description="why", ordering="error_class")
    def why(self, letter: Execution) -> SafeString | None:
        return badge(letter.error_class, {letter.error_class: "danger"})

    @display(description="since then")
    def became(self, letter: Any) -> str | SafeString:
        if letter.replayed_as:
            replays = ((execution_link(pk),) for pk in letter.replayed_as)
            return format_html_join(", ", "replayed as {}", replays)
        return f"handled by {letter.handled_by}" if letter.handled_at else EMPTY

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return DeadLetterChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Execution], search_term: str
    ) -> tuple[QuerySet[Execution], bool]:
        term = search_term.strip()
        if "://" in term:
            return queryset.filter(lane=term), False
        if "@" in term:
            return queryset.filter(account__in=Account.objects.filter(email__iexact=term)), False
        return super().get_search_results(request, queryset, search_term)

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:executions_execution_change", args=[object_id]))

    # --- Who may ------------------------------------------------------------------------------------------------

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return any(request.user.has_perm(f"executions.{verb}_execution") for verb in ("view", "change"))

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("executions.change_execution"))

    # --- All that match -----------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.all_that_match)
        return [path("all/<str:act>", view, name="executions_deadletter_all"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        buttons = self._buttons(request) if self.has_operate_permission(request) else ()
        response: HttpResponse = super().changelist_view(request, {**(extra_context or {}), "all_buttons": buttons})
        return response

    def _buttons(self, request: HttpRequest) -> list[tuple[str, str]]:
        """Titles and addresses; the filters of the list go with them."""
        query = request.GET.urlencode()
        return [
            (title, f"{reverse('admin:executions_deadletter_all', args=[act])}?{query}") for act, title in ACTS.items()
        ]

    def all_that_match(self, request: HttpRequest, act: str) -> HttpResponse:
        """Say how many the filters of the list match, and of which cues; once that is confirmed, do it."""
        if act not in ACTS:
            raise Http404
        if not self.has_operate_permission(request):
            raise PermissionDenied
        back = f"{reverse('admin:executions_deadletter_changelist')}?{request.GET.urlencode()}"
        try:
            rows = _open(self.get_changelist_instance(request).queryset, act)
        except IncorrectLookupParameters:
            return HttpResponseRedirect(back)
        if request.method != "POST":
            return self._ask(request, act, rows, back)
        self._do(request, act, rows.filter(closed_at__lt=_counted_until(request)))
        return HttpResponseRedirect(back)

    def _ask(self, request: HttpRequest, act: str, rows: QuerySet[Execution], back: str) -> HttpResponse:
        now = clock.now()
        counted = rows.filter(closed_at__lt=now)
        count = counted[: COUNTED_MAX + 1].count()
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": ACTS[act],
            "is_replay": act == "replay",
            "count": count,
            "in_words": f"more than {COUNTED_MAX:,}" if count > COUNTED_MAX else f"{count:,}",
            "cues": _most_frequent(counted),
            "limit": LIMIT_MAX,
            "until": rfc3339(now),
            "back": back,
        }
        return TemplateResponse(request, "executions/admin/all_that_match.html", context)

    def _do(self, request: HttpRequest, act: str, rows: QuerySet[Execution]) -> None:
        oldest = rows.order_by("closed_at", "id").values_list("account", "pk")[: LIMIT_MAX + 1]
        chosen, now = list(oldest), clock.now()
        if act == "handle":
            ids = [pk for _, pk in chosen[:LIMIT_MAX]]
            done = handling.mark(ids, handled=True, by=str(request.user), now=now)
            self.say_done(request, done, "Marked as handled")
        else:
            definition = ReplayOf.CURRENT if request.POST.get("definition") == ReplayOf.CURRENT else ReplayOf.AS_SENT
            for told in _replay(chosen[:LIMIT_MAX], definition, now=now):
                self.message_user(request, told, messages.INFO)
        if len(chosen) > LIMIT_MAX:
            self.message_user(request, "There are more: press it again.", messages.WARNING)


def _open(rows: QuerySet[Execution], act: str) -> QuerySet[Execution]:
    """Those that it would change anything for."""
    bare = rows.order_by()
    return bare.filter(handled_at=None) if act == "handle" else bare.exclude(dead_letters.has_replay())


def _counted_until(request: HttpRequest) -> datetime:
    """What ended later was not counted, so it is left alone."""
    try:
        return instant_in(request.POST.get("until", ""), UTC, where="until")
    except ApiError:
        return clock.now()


def _most_frequent(rows: QuerySet[Execution]) -> Sequence[tuple[str, str, int]]:
    """Cues with their accounts and how many of the rows are theirs, of the first COUNTED_MAX rows."""
    first: Any = Execution.objects.filter(pk__in=rows.values("pk")[:COUNTED_MAX])
    counts = first.order_by().values("cue").annotate(count=Count("pk")).order_by("-count", "cue")
    return list(counts.values_list("cue__name", "cue__account__email", "count")[:CUES_NAMED])


def _replay(chosen: Sequence[tuple[UUID, UUID]], definition: ReplayOf, *, now: datetime) -> Iterator[str]:
    """Account by account, as each would do it; what came of it, in words."""
    ids_of: dict[UUID, list[UUID]] = defaultdict(list)
    for account_id, pk in chosen:
        ids_of[account_id].append(pk)
    made, skipped = 0, Counter[str]()
    for account in Account.objects.filter(pk__in=ids_of):
        ids = ids_of[account.pk]
        order = Order(Filters(ids=ids), named=len(ids), definition=definition, limit=LIMIT_MAX)
        try:
            report = dead_letters.replay(account, order, now=now)
        except ApiError as error:
            yield f"{account.email}: {error.message}"
        else:
            made += len(report.made)
            skipped += report.skipped
    yield f"Replayed: {made}."
    if skipped.total():
        reasons = ", ".join(f"{reason.replace('_', ' ')} ({count})" for reason, count in skipped.items() if count)
        yield f"Left out: {reasons}."
