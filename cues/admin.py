"""The admin pages of cues, and of the periodic tasks through which operators steer them.

A cue's definition comes from the API; here it is read, paused and resumed. `executions.admin` adds what needs
executions: firing, and how each cue does.
"""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django_celery_beat.admin import PeriodicTaskAdmin as StockPeriodicTaskAdmin
from django_celery_beat.admin import PeriodicTaskForm, TaskSelectWidget
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from cueapi import clock, trail
from cueapi.clock import utc_text
from cueapi.console import CheapListAdmin, ConsoleAdmin, as_json, badge, link, plain, pre, utc
from cueapi.errors import ApiError
from cueapi.masking import MASK, masked_url
from cueapi.models import AuditAction, SubjectType
from cueapi.trail import Change, Facts, Subject
from cues import beat, foresight, lifecycle, services
from cues.models import Cue, CueStatus
from cues.schedule import spell_every

STATUS_COLORS = {
    CueStatus.ACTIVE: "success",
    CueStatus.PAUSED: "warning",
    CueStatus.COMPLETED: "info",
    CueStatus.FAILED: "danger",
}
TASK_FIELDS = (
    *("name", "task", "description", "interval_id", "crontab_id", "args", "kwargs", "queue", "priority", "headers"),
    *("expires", "expire_seconds", "one_off", "start_time"),
)


class CueAdmin(ConsoleAdmin):
    list_display = ("name", "state", "when", "next_run_at", "last_run_at", "run_count", "account")
    list_filter = ("status", "schedule_type", "transport")
    list_select_related = ("account",)
    search_fields = ("name", "=id", "account__email")
    search_help_text = "Name, id or account"
    ordering = ("-created_at",)
    actions = ("pause", "resume")
    list_defer = (
        "description",
        "callback_headers",
        "payload",
        "account__webhook_secret",
        "account__alert_webhook_secret",
    )
    fieldsets = (
        (None, {"fields": ("id", "name", "description", "account", "state", "created", "updated")}),
        ("Schedule", {"fields": ("schedule", "in_words", "catch_up", "next_run_at", "last_run_at", "periodic_task")}),
        ("Counts", {"fields": ("run_count", "fired_count")}),
        ("Delivery", {"fields": ("transport", "callback", "callback_header_names", "timeout", "rate", "payload_")}),
        ("When it fails", {"fields": ("retries", "on_failure_email", "failure_webhook", "on_failure_pause")}),
        ("Outcome", {"fields": ("outcome_deadline", "verification_mode", "assertions", "on_success_fire")}),
        ("Alerts", {"fields": ("alert_consecutive_failures", "alert_missed_window_multiplier", "grace")}),
        ("Fire calls", {"fields": ("require_payload_override", "required_keys")}),
    )
    created = utc("created_at", "created")
    updated = utc("updated_at", "updated")
    next_run_at = utc("next_run", "next run")
    last_run_at = utc("last_run", "last run")
    grace = plain("alert_grace_s", "grace after a window (seconds)")
    timeout = plain("delivery_timeout_s", "timeout (seconds)")
    rate = plain("rate_per_minute", "rate (attempts a minute)")
    outcome_deadline = plain("outcome_deadline_s", "outcome deadline (seconds)")
    payload_ = as_json("payload", "payload")
    assertions = as_json("required_assertions", "required assertions")
    required_keys = as_json("required_payload_keys", "required payload keys")

    @display(description="status", ordering="status")
    def state(self, cue: Cue) -> SafeString | None:
        return badge(cue.status, STATUS_COLORS)

    @display(description="schedule")
    def schedule(self, cue: Cue) -> str | None:
        if cue.is_recurring:
            rhythm = cue.cron or f"every {spell_every(cue.every_s or 0)}"
            return f"{rhythm} · {cue.timezone}"
        return f"once at {utc_text(cue.at)}" if cue.at else "once"

    @display(description="schedule")
    def when(self, cue: Cue) -> SafeString:
        words, spelled = self.in_words(cue), self.schedule(cue)
        return format_html('<div class="console-words">{}<br><small>{}</small></div>', words, spelled)

    @display(description="in words")
    def in_words(self, cue: Cue) -> str:
        return foresight.in_words(cue)

    @display(description="callback")
    def callback(self, cue: Cue) -> str | None:
        return f"{cue.callback_method} {masked_url(cue.callback_url)}" if cue.callback_url else None

    @display(description="webhook on failure")
    def failure_webhook(self, cue: Cue) -> str | None:
        return masked_url(cue.on_failure_webhook) if cue.on_failure_webhook else None

    @display(description="callback headers")
    def callback_header_names(self, cue: Cue) -> SafeString | None:
        return pre("\n".join(f"{name}: {MASK}" for name in cue.callback_headers))

    @display(description="attempts")
    def retries(self, cue: Cue) -> str:
        waits = ", ".join(map(str, cue.backoff_minutes))
        longer = f", or up to {cue.retry_jitter:.0%} more" if cue.retry_jitter else ""
        return f"{cue.max_attempts} at most, {waits} minutes apart{longer}" if waits else f"{cue.max_attempts} at most"

    def page_actions(self, obj: Cue) -> Iterable[str]:
        offered = {CueStatus.ACTIVE: "pause", CueStatus.PAUSED: "resume"}.get(CueStatus(obj.status))
        return (offered,) if offered else ()

    @admin.action(description="Pause", permissions=["operate"])
    def pause(self, request: HttpRequest, queryset: QuerySet[Cue]) -> None:
        self.say_done(request, lifecycle.pause(queryset, now=clock.now()), "Cues paused")

    @admin.action(description="Resume", permissions=["operate"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Cue]) -> None:
        self.say_done(request, sum(self._resume(request, cue) for cue in queryset), "Cues resumed")

    def _resume(self, request: HttpRequest, cue: Cue) -> bool:
        try:
            return lifecycle.resume(cue, now=clock.now())
        except ApiError as error:
            self.message_user(request, f"{cue}: {error.message}", messages.ERROR)
            return False

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[list[str], dict[str, int], set[str], list]:
        """Say what goes in a line each: the stock page would load every execution and attempt to list it."""
        goes = [f"{cue}, with its executions and their history" for cue in objs]
        return goes, {"cues": len(goes)}, set(), []

    def delete_model(self, request: HttpRequest, obj: Cue) -> None:
        services.delete(obj, now=clock.now())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Cue]) -> None:
        for cue in queryset:
            services.delete(cue, now=clock.now())


admin.site.register(Cue, CueAdmin)


# --- Periodic tasks ---------------------------------------------------------------------------------------------

for stock in (PeriodicTask, CrontabSchedule, IntervalSchedule, ClockedSchedule, SolarSchedule):
    admin.site.unregister(stock)


class TaskSelect(UnfoldAdminSelectWidget, TaskSelectWidget):
    """The stock choice of registered tasks, in the theme's look."""


class TaskForm(PeriodicTaskForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["regtask"].widget = TaskSelect()
        self.fields["task"].widget = UnfoldAdminTextInputWidget()


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(CheapListAdmin, StockPeriodicTaskAdmin):
    """Ordinary tasks are edited as usual. A cue's task follows the cue: only switch, queue and priority are free."""

    form = TaskForm
    change_form_template = None  # the stock one sends the words of every crontab there is
    date_hierarchy = None
    list_display = ("name", "what", "is_on", "scheduler", "last_run", "total_run_count")
    list_defer = ("cue__description", "cue__callback_headers", "cue__payload")
    list_filter = ("enabled", "one_off", "task")
    autocomplete_fields = ("crontab", "interval")
    actions = ("enable_tasks", "disable_tasks", "run_tasks")
    readonly_fields = ("last_run", "total_run_count")
    fieldsets = (
        (None, {"fields": ("name", "regtask", "task", "enabled", "description")}),
        ("Schedule", {"fields": ("interval", "crontab", "start_time", "one_off", "last_run", "total_run_count")}),
        ("Arguments", {"fields": ("args", "kwargs")}),
        ("Options", {"fields": ("expires", "expire_seconds", "queue", "priority", "headers")}),
    )
    cue_fieldsets = (
        (None, {"fields": ("name", "owner", "enabled", "queue", "priority")}),
        ("Schedule", {"fields": ("scheduler", "last_run", "total_run_count")}),
    )
    last_run = utc("last_run_at", "last run")

    @display(description="enabled", ordering="enabled", boolean=True)
    def is_on(self, task: PeriodicTask) -> bool:
        return bool(task.enabled)

    @display(description="task", ordering="task")
    def what(self, task: PeriodicTask) -> SafeString | str:
        cue = getattr(task, "cue", None)
        return link(cue, f"cue “{cue.name}”") if cue else str(task.task)

    @display(description="belongs to")
    def owner(self, task: PeriodicTask) -> SafeString | str:
        cue = getattr(task, "cue", None)
        return link(cue, f"the cue {cue}: change its schedule there") if cue else "a cue that is gone"

    def get_queryset(self, request: HttpRequest) -> QuerySet[PeriodicTask]:
        tasks: QuerySet[PeriodicTask] = super().get_queryset(request)
        return tasks.select_related("cue")

    def get_fieldsets(self, request: HttpRequest, obj: PeriodicTask | None = None) -> Any:
        return self.cue_fieldsets if is_of_cue(obj) else super().get_fieldsets(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: PeriodicTask | None = None) -> Any:
        return (*self.readonly_fields, "name", "owner", "scheduler") if is_of_cue(obj) else self.readonly_fields

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if is_of_cue(obj):
            kwargs["form"] = forms.ModelForm
        return super().get_form(request, obj, change, **kwargs)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Without the stock view's read of every crontab there is."""
        return super(StockPeriodicTaskAdmin, self).changeform_view(request, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: PeriodicTask, form: Any, change: bool) -> None:
        """Write a cue's task only where it was changed: firing counts on the same row meanwhile."""
        before = task_facts(PeriodicTask.objects.get(pk=obj.pk)) if change else {}
        if change and is_of_cue(obj):
            obj.save(update_fields=form.changed_data)
        else:
            super().save_model(request, obj, form, change)
        record_task(AuditAction.TASK_UPDATED if change else AuditAction.TASK_CREATED, obj, before, task_facts(obj))

    def delete_model(self, request: HttpRequest, obj: PeriodicTask) -> None:
        record_task(AuditAction.TASK_DELETED, obj, task_facts(obj), {})
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        with transaction.atomic():
            for task in queryset:
                record_task(AuditAction.TASK_DELETED, task, task_facts(task), {})
            super().delete_queryset(request, queryset)

    def has_delete_permission(self, request: HttpRequest, obj: PeriodicTask | None = None) -> bool:
        return not is_of_cue(obj) and bool(super().has_delete_permission(request, obj))

    @admin.action(description="Enable", permissions=["change"])
    def enable_tasks(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        self.say_done(request, switch(queryset, on=True), "Tasks enabled")

    @admin.action(description="Disable", permissions=["change"])
    def disable_tasks(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        self.say_done(request, switch(queryset, on=False), "Tasks disabled")

    @admin.action(description="Run now", permissions=["change"])
    def run_tasks(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        ordinary = queryset.exclude(task=beat.FIRE_TASK)
        if ordinary.count() < queryset.count():
            self.message_user(request, "A cue is fired from its own page, not through its task.", messages.WARNING)
        if ordinary.exists():
            super().run_tasks(request, ordinary)


class ScheduleAdmin(CheapListAdmin):
    """The choices for an ordinary task's schedule. Thousands of cues may share one, so it is made but not changed."""

    list_display = ("__str__",)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(ScheduleAdmin):
    search_fields = ("minute", "hour", "timezone")


@admin.register(IntervalSchedule)
class IntervalScheduleAdmin(ScheduleAdmin):
    search_fields = ("every", "period")


def is_of_cue(task: PeriodicTask | None) -> bool:
    return task is not None and task.task == beat.FIRE_TASK


def switch(tasks: Iterable[PeriodicTask], *, on: bool) -> int:
    """Switch each task by saving it, since cues and beat follow the signals of a save. How many there were."""
    tasks = list(tasks)
    with transaction.atomic():
        for task in tasks:
            before, task.enabled = task_facts(task), on
            task.save(update_fields=["enabled"])
            record_task(AuditAction.TASK_UPDATED, task, before, task_facts(task))
    return len(tasks)


def task_facts(task: PeriodicTask) -> Facts:
    """What people set. That a cue's task is switched on is left to its cue, which follows and says so itself."""
    found = {name: getattr(task, name) for name in TASK_FIELDS}
    return {**found, "enabled": task.enabled} if not is_of_cue(task) else found


def record_task(action: AuditAction, task: PeriodicTask, before: Facts, after: Facts) -> None:
    owner = getattr(task, "cue", None) if is_of_cue(task) else None
    subject = Subject(SubjectType.TASK, task.pk, task.name, owner.account_id if owner else None)
    trail.record_difference(Change(action, subject, before, after), now=clock.now())
