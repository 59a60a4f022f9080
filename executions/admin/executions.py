"""The admin pages of executions.

An execution is read here, with every attempt and step; the one thing to do with it is to replay it.
"""

import json
from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from cueapi import clock
from cueapi.console import ConsoleAdmin, Table, as_json, as_text, badge, excerpt, link, pre, utc, utc_time
from cueapi.errors import ApiError
from cueapi.ids import parse_execution_id
from cues.models import Cue
from executions import firing, steering
from executions.admin.destinations import in_words
from executions.models import Alert, Execution, Worker
from executions.states import OutcomeState, Status

ATTEMPTS_SHOWN = 50
STEPS_SHOWN = 200
NOTIFICATIONS_SHOWN = 20

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


@admin.register(Execution)
class ExecutionAdmin(ConsoleAdmin):
    list_display = (
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
    list_filter = ("status", "triggered_by", "transport", "outcome_state")
    list_select_related = ("cue",)
    search_fields = ("id", "cue__id", "cue__name")  # see get_search_results
    search_help_text = "The whole id of an execution or a cue, or part of a cue's name"
    ordering = ("-created_at",)
    actions = ("replay",)
    list_defer = (
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
    fieldsets = (
        (None, {"fields": ("id", "cue_link", "account", "state", "transport", "triggered_by", "parent", "waits")}),
        ("Times", {"fields": (("scheduled", "created"), ("started", "last_attempt"), ("delivered", "closed"), "due")}),
        ("Latest attempt", {"fields": (("attempts", "http_status"), "error_text", "reply")}),
        ("Payload", {"fields": ("payload_", "criteria")}),
    )
    worker_fieldset = (
        "Worker",
        {"fields": (("claimed_by_worker", "claimed"), ("last_heartbeat", "lease_expires"))},
    )
    outcome_fieldset = (
        "Outcome and evidence",
        {
            "fields": (
                ("outcome", "outcome_success"),
                ("outcome_deadline", "outcome_recorded"),
                "summary",
                "result",
                "outcome_error_text",
                "metadata",
                ("external_id", "validation_state"),
                "result_url",
                ("result_ref", "result_type"),
                "artifacts_",
                "assertions_",
            )
        },
    )
    scheduled = utc("scheduled_for", "scheduled for")
    created = utc("created_at", "created")
    started = utc("started_at", "started")
    last_attempt = utc("last_attempt_at", "last attempt")
    delivered = utc("delivered_at", "delivered")
    closed = utc("closed_at", "closed")
    due = utc("due_at", "needs attention at")
    claimed = utc("claimed_at", "claimed")
    last_heartbeat = utc("last_heartbeat_at", "last heartbeat")
    lease_expires = utc("lease_expires_at", "lease expires")
    outcome_deadline = utc("outcome_deadline_at", "deadline")
    outcome_recorded = utc("outcome_recorded_at", "recorded")
    payload_ = as_json("payload", "payload")
    criteria = as_json("exit_criteria", "exit criteria")
    metadata = as_json("outcome_metadata", "metadata")
    artifacts_ = as_json("artifacts", "artifacts")
    assertions_ = as_json("assertions", "assertions")
    error_text = as_text("error_message", "error")
    reply = as_text("response_body", "reply")
    result = as_text("outcome_result", "result")
    outcome_error_text = as_text("outcome_error", "error")

    @display(description="id")
    def short_id(self, execution: Execution) -> str:
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

    def get_fieldsets(self, request: HttpRequest, obj: Execution | None = None) -> Any:
        """A section that has nothing to say stays away."""
        if obj is None:
            return self.fieldsets
        worker = [self.worker_fieldset] if obj.claimed_by_worker else []
        awaited = obj.outcome_state or obj.outcome_deadline_at or obj.outcome_recorded_at
        return (*self.fieldsets, *worker, *([self.outcome_fieldset] if awaited else []))

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
        return ("replay",) if obj.is_final else ()

    def tables(self, obj: Execution) -> Iterable[Table]:
        return attempts_of(obj), history_of(obj), notifications_of(obj)

    def has_delete_permission(self, request: HttpRequest, obj: Execution | None = None) -> bool:
        """Nobody: executions are the record of what happened. They go with their cue."""
        return False

    @admin.action(description="Replay", permissions=["operate"])
    def replay(self, request: HttpRequest, queryset: QuerySet[Execution]) -> None:
        for original in queryset.select_related("cue"):
            try:
                execution = firing.replay(original, now=clock.now())
            except ApiError as error:
                self.message_user(request, f"{original}: {error.message}", messages.ERROR)
            else:
                self.message_user(request, format_html("Replayed as {}.", link(execution)), messages.SUCCESS)


# --- What belongs to an execution -------------------------------------------------------------------------------


def attempts_of(execution: Execution) -> Table:
    attempts = execution.attempt_log.order_by("number")[:ATTEMPTS_SHOWN]
    return Table(
        "Attempts",
        ("No.", "Started", "Took", "URL", "HTTP status", "Error", "Reply", "Reply headers"),
        [
            (
                attempt.number,
                utc_time(attempt.started_at),
                f"{attempt.duration_ms} ms",
                attempt.url,
                attempt.http_status,
                f"{attempt.error_stage}: {attempt.error_message}" if attempt.error_stage else None,
                pre(f"{attempt.response_body} […]" if attempt.response_truncated else attempt.response_body),
                pre(json.dumps(attempt.response_headers, indent=2)) if attempt.response_headers else None,
            )
            for attempt in attempts
        ],
    )


def history_of(execution: Execution) -> Table:
    steps = execution.steps.order_by("id")[:STEPS_SHOWN]
    return Table(
        "History",
        ("At", "From", "To", "Because"),
        [
            (utc_time(step.at), badge(step.before, STATUS_COLORS), badge(step.after, STATUS_COLORS), step.reason)
            for step in steps
        ],
    )


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
