"""The admin pages of alerts: read, and acknowledged."""

from collections.abc import Iterable

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.decorators import display

from cueapi import clock
from cueapi.console import ConsoleAdmin, Table, as_json, badge, link, utc
from executions import alerts
from executions.admin.executions import notifications_of
from executions.models import Alert, Severity

SEVERITY_COLORS = {Severity.INFO: "info", Severity.WARNING: "warning", Severity.CRITICAL: "danger"}


@admin.register(Alert)
class AlertAdmin(ConsoleAdmin):
    list_display = ("message", "severity_", "alert_type", "cue_link", "account", "created", "acknowledged")
    list_filter = ("alert_type", "severity", ("acknowledged_at", admin.EmptyFieldListFilter))
    list_select_related = ("cue", "account")
    list_defer = (
        "cue__description",
        "cue__callback_headers",
        "cue__payload",
        "account__webhook_secret",
        "account__alert_webhook_secret",
        "account__previous_webhook_secret",
    )
    search_fields = ("=cue__id", "account__email")
    search_help_text = "The whole id of a cue, or part of an account's address"
    ordering = ("-created_at",)
    actions = ("acknowledge",)
    fields = (
        "id",
        "message",
        "severity_",
        "alert_type",
        "account",
        "cue_link",
        "execution_link",
        "facts",
        "created",
        "acknowledged",
    )
    created = utc("created_at", "created")
    acknowledged = utc("acknowledged_at", "acknowledged")
    facts = as_json("metadata", "metadata")

    @display(description="severity", ordering="severity")
    def severity_(self, alert: Alert) -> SafeString | None:
        return badge(alert.severity, SEVERITY_COLORS)

    @display(description="cue", ordering="cue__name")
    def cue_link(self, alert: Alert) -> SafeString | None:
        return link(alert.cue, alert.cue.name) if alert.cue else None

    @display(description="execution")
    def execution_link(self, alert: Alert) -> SafeString | None:
        return link(alert.execution) if alert.execution else None

    def page_actions(self, obj: Alert) -> Iterable[str]:
        return () if obj.acknowledged_at else ("acknowledge",)

    def tables(self, obj: Alert) -> Iterable[Table]:
        return (notifications_of(obj),)

    def has_delete_permission(self, request: HttpRequest, obj: Alert | None = None) -> bool:
        """Nobody: an alert goes with its cue."""
        return False

    @admin.action(description="Acknowledge", permissions=["operate"])
    def acknowledge(self, request: HttpRequest, queryset: QuerySet[Alert]) -> None:
        seen = [alerts.acknowledge(alert.account, alert.pk, now=clock.now()) for alert in queryset]
        self.say_done(request, len(seen), "Alerts acknowledged")
