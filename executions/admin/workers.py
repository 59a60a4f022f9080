"""The admin pages of the workers that pull: who lives, what each can do and holds; forgotten by hand."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.views import ChangeList

from cueapi import clock
from cueapi.asking import AskingAdmin
from cueapi.console import LightChangeList, Table, as_json, badge, utc
from executions import claims, workers
from executions.admin.executions import execution_link, notifications_of
from executions.models import Worker

STATE_COLORS = {"active": "success", "stale": "warning", "dead": "danger"}
HELD_SHOWN = 50


class WorkerChangeList(LightChangeList):
    """The workers of a page with what they hold, counted together."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        found = list(self.result_list)
        held = claims.held_by(found)
        for worker in found:
            worker.holds_now = held[worker.pk]
        self.result_list = found


@admin.register(Worker)
class WorkerAdmin(AskingAdmin):
    list_display = ("worker_id", "account", "state", "heartbeat", "holds", "can_do", "registered")
    list_select_related = ("account",)
    list_defer = ("account__webhook_secret", "account__alert_webhook_secret", "account__previous_webhook_secret")
    search_fields = ("worker_id", "account__email")
    ordering = ("-last_heartbeat_at",)
    actions = ("forget",)
    fields = ("worker_id", "account", "state", "tasks", "heartbeat", "registered", "offline_mailed")
    heartbeat = utc("last_heartbeat_at", "last heard of")
    registered = utc("registered_at", "known since")
    offline_mailed = utc("offline_mailed_at", "reported silent")
    tasks = as_json("handlers", "tasks")

    @display(description="state", ordering="last_heartbeat_at")
    def state(self, worker: Worker) -> SafeString | None:
        return badge(workers.state_of(worker, now=clock.now()), STATE_COLORS)

    @display(description="holds")
    def holds(self, worker: Any) -> str:
        held = worker.holds_now
        return f"{held} execution{'' if held == 1 else 's'}" if held else "nothing"

    @display(description="can do")
    def can_do(self, worker: Worker) -> str:
        return ", ".join(map(str, worker.handlers or ())) or "anything"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return WorkerChangeList

    def page_actions(self, obj: Worker) -> Iterable[str]:
        return ("forget",)

    def tables(self, obj: Worker) -> Iterable[Table]:
        held = claims.held(obj.account, obj.worker_id).select_related("cue").order_by("claimed_at")[:HELD_SHOWN]
        rows = [(execution_link(run.pk), run.cue.name, run.claimed_at, run.lease_expires_at) for run in held]
        return (Table("What it holds", ("Execution", "Cue", "Claimed", "Lease until"), rows), notifications_of(obj))

    def has_delete_permission(self, request: HttpRequest, obj: Worker | None = None) -> bool:
        """Nobody: to forget it gives its claims back, which deleting its row would not."""
        return False

    @admin.action(description="Forget it", permissions=["operate"])
    def forget(self, request: HttpRequest, queryset: QuerySet[Worker]) -> HttpResponse | None:
        def act(worker: Worker, now: datetime) -> None:
            claims.forget_worker(worker.account, worker.worker_id, now=now)

        what = "What these hold can be claimed by others at once. One that lives comes back with its next heartbeat."
        return self.ask_then(request, queryset, what, lambda form: act, "Workers forgotten")
