"""The admin pages of executions.

An execution's page tells its story as its owner's page does; it can be replayed, judged, and marked as handled.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.views import ChangeList

from cueapi import clock
from cueapi.console import ConsoleAdmin, LightChangeList, Table, badge, excerpt, link, utc, utc_time
from cueapi.errors import ApiError
from cueapi.ids import parse_execution_id
from cueapi.keyset import REACH
from cues.models import Cue
from executions import firing, handling, outcomes, steering, story
from executions.admin.destinations import in_words
from executions.admin.filters import EndedFilter, LateFilter, StatusFilter
from executions.firing import ReplayOf
from executions.models import Alert, Execution, Worker
from executions.states import OutcomeState, Status

NOTIFICATIONS_SHOWN = 20
SEARCHED = {"triggered_by", "transport", "outcome_state"}  # filters that no index answers

STATUS_COLORS = {
    Status.PENDING: "info",
    Status.DELIVERING: "info",
    Status.RETRYING: "warning",
    Status.RETRY_READY: "warning",
    Status.PENDING_OUTCOME: "primary",
    Status.SUCCESS: "success",
    Status.FAILED: "danger",
    Status.MISSED: "danger",
    Status.OUTCOME_TIMEOUT: "danger",
}
OUTCOME_COLORS = {
    OutcomeState.REPORTED_SUCCESS: "success",
    OutcomeState.VERIFIED_SUCCESS: "success",
    OutcomeState.VERIFICATION_PENDING: "warning",
    OutcomeState.REPORTED_FAILURE: "danger",
    OutcomeState.VERIFICATION_FAILED: "danger",
}


class ExecutionChangeList(LightChangeList):
    """A search for what no index finds looks at the newest executions only, and the list says how far it looked."""

    looked_until: datetime | None = None

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        rows = super().get_queryset(request, exclude_parameters)
        is_searched = SEARCHED & {name.partition("__")[0] for name, value in request.GET.items() if value}
        if not is_searched or Cue.objects.filter(pk=self.query.strip()).exists():
            return rows
        edge = Execution.objects.newest_first().values_list("created_at", flat=True)[REACH : REACH + 1].first()
        self.looked_until = edge
        return rows.filter(created_at__gte=edge) if edge else rows


@admin.register(Execution)
class ExecutionAdmin(ConsoleAdmin):
    list_display: Any = (
        "short_id",
        "cue_link",
        "state",
        "triggered_by",
        "scheduled",
        "attempts",
        "http_status",
        "outcome",
        "error",
    )
    list_filter: Any = (("status", StatusFilter), EndedFilter, LateFilter, "triggered_by", "transport", "outcome_state")
    list_select_related: Any = ("cue",)
    search_fields = ("id", "cue__id", "cue__name")  # see get_search_results
    search_help_text = "The whole id of an execution or a cue, or part of a cue's name"
    list_before_template: Any = "executions/admin/looked_until.html"
    ordering: Any = ("-created_at",)
    actions: Any = ("replay", "replay_current", "handle", "unhandle", "accept", "reject")
    list_defer: tuple[str, ...] = (
        "payload",
        "exit_criteria",
        "response_body",
        "outcome_result",
        "outcome_metadata",
        "artifacts",
        "assertions",
        "cue__description",
        "cue__callback_headers",
        "cue__payload",
    )
    fieldsets = ((None, {"fields": ("id", "cue_link", "account", "transport", "triggered_by", "parent", "waits")}),)
    change_form_outer_before_template = "executions/admin/execution.html"
    change_form_outer_after_template = "cueapi/console_tables.html"
    scheduled = utc("scheduled_for", "scheduled for")

    @display(description="id")
    def short_id(self, execution: Execution) -> Any:
        return str(execution.pk)[:8]

    @display(description="cue", ordering="cue__name")
    def cue_link(self, execution: Execution) -> SafeString:
        return link(execution.cue, execution.cue.name)

    @display(description="status", ordering="status")
    def state(self, execution: Execution) -> SafeString | None:
        return badge(execution.status, STATUS_COLORS)

    @display(description="outcome")
    def outcome(self, execution: Execution) -> SafeString | None:
        return badge(execution.outcome_state, OUTCOME_COLORS)

    @display(description="error")
    def error(self, execution: Execution) -> str | None:
        return excerpt(execution.error_message or execution.outcome_error)

    @display(description="made by")
    def parent(self, execution: Execution) -> SafeString | None:
        if execution.replayed_from:
            return link(execution.replayed_from)
        return link(execution.chain_parent) if execution.chain_parent else None

    @display(description="waits for")
    def waits(self, execution: Execution) -> str | None:
        return in_words(steering.waits_for(execution))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Execution], search_term: str
    ) -> tuple[QuerySet[Execution], bool]:
        """By index where the term is an id, and by the cue's name where it is not."""
        term = search_term.strip()
        execution_id = parse_execution_id(term)
        if execution_id:
            return queryset.filter(pk=execution_id), False
        if Cue.objects.filter(pk=term).exists():
            return queryset.filter(cue_id=term), False
        return (queryset.filter(cue__name__icontains=term) if term else queryset), False

    def page_actions(self, obj: Execution) -> Iterable[str]:
        if obj.is_final:
            yield from ("replay", "replay_current")
        if obj.error_class is not None:
            yield "unhandle" if obj.handled_at else "handle"
        if obj.outcome_state in story.DECIDABLE:
            yield from ("accept", "reject")

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: Any = None, **kwargs: Any
    ) -> HttpResponse:
        context["story"] = story.tell(obj, now=clock.now())
        context["execution_url"], context["execution_suffix"] = self.changelist_url(), "/change/"
        return super().render_change_form(request, context, *args, obj=obj, **kwargs)

    def changelist_url(self) -> str:
        return reverse("admin:executions_execution_changelist")

    def tables(self, obj: Execution) -> Iterable[Table]:
        return (notifications_of(obj),)

    def has_delete_permission(self, request: HttpRequest, obj: Execution | None = None) -> bool:
        """Nobody: executions are the record of what happened. They go with their cue."""
        return False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return ExecutionChangeList

    @admin.action(description="Replay as sent", permissions=["operate"])
    def replay(self, request: HttpRequest, queryset: QuerySet[Execution]) -> None:
        self._replay(request, queryset, ReplayOf.AS_SENT)

    @admin.action(description="Replay as the cue is now", permissions=["operate"])
    def replay_current(self, request: HttpRequest, queryset: QuerySet[Execution]) -> None:
        self._replay(request, queryset, ReplayOf.CURRENT)

    def _replay(self, request: HttpRequest, queryset: QuerySet[Execution], definition: ReplayOf) -> None:
        for original in queryset.select_related("cue"):
            try:
                execution = firing.replay(original, definition=definition, now=clock.now())
            except ApiError as error:
                self.message_user(request, f"{original}: {error.message}", messages.ERROR)
            else:
                self.message_user(request, format_html("Replayed as {}.", link(execution)), messages.SUCCESS)

    @admin.action(description="Mark as handled", permissions=["operate"])
    def handle(self, request: HttpRequest, queryset: QuerySet[Execution]) -> None:
        self._mark(request, queryset, handled=True)

    @admin.action(description="Not handled after all", permissions=["operate"])
    def unhandle(self, request: HttpRequest, queryset: QuerySet[Execution]) -> None:
        self._mark(request, queryset, handled=False)

    def _mark(self, request: HttpRequest, queryset: QuerySet[Execution], *, handled: bool) -> None:
        by, now = str(request.user), clock.now()
        done = handling.mark([execution.pk for execution in queryset], handled=handled, by=by, now=now)
        self.say_done(request, done, "Marked as handled" if handled else "To be handled again")

    @admin.action(description="Verify the outcome", permissions=["operate"])
    def accept(self, request: HttpRequest, queryset: QuerySet[Execution]) -> None:
        self._judge(request, queryset, valid=True)

    @admin.action(description="Reject the outcome", permissions=["operate"])
    def reject(self, request: HttpRequest, queryset: QuerySet[Execution]) -> None:
        self._judge(request, queryset, valid=False)

    def _judge(self, request: HttpRequest, queryset: QuerySet[Execution], *, valid: bool) -> None:
        done = 0
        for execution in queryset.select_related("account"):
            try:
                outcomes.verify(execution.account, execution.pk, valid=valid, reason=None, now=clock.now())
            except ApiError as error:
                self.message_user(request, f"{execution}: {error.message}", messages.ERROR)
            else:
                done += 1
        self.say_done(request, done, "Outcomes verified" if valid else "Outcomes rejected")


def execution_link(execution_id: UUID) -> SafeString:
    url = reverse("admin:executions_execution_change", args=[execution_id])
    return format_html('<a class="text-link" href="{}">{}</a>', url, str(execution_id)[:8])


# --- What belongs to an execution -------------------------------------------------------------------------------


def notifications_of(subject: Execution | Alert | Worker) -> Table:
    """The latest mails and calls about it."""
    return Table(
        "Notifications",
        ("Kind", "State", "Tries", "Due", "Sent", "Error"),
        [
            (note.kind, note.state, note.tries, utc_time(note.due_at), utc_time(note.sent_at), note.error)
            for note in subject.notifications.order_by("-pk")[:NOTIFICATIONS_SHOWN]
        ],
    )
