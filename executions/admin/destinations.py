"""The admin pages of destinations: how each stands, its breaker by hand, its rate. Each action asks before it acts."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.widgets import UnfoldAdminIntegerFieldWidget

from cueapi.asking import Act, AskingAdmin
from cueapi.clock import utc_text
from cueapi.console import Table, badge, excerpt, plain, utc
from executions import steering
from executions.models import Destination
from executions.states import BreakerState

STATE_COLORS = {BreakerState.CLOSED: "success", BreakerState.HALF_OPEN: "warning", BreakerState.OPEN: "danger"}


class PaceForm(forms.Form):
    rate_per_minute = forms.IntegerField(
        label="Attempts a minute",
        help_text="How many may start, retries included; empty is no limit.",
        required=False,
        min_value=1,
        max_value=steering.RATE_MAX,
        widget=UnfoldAdminIntegerFieldWidget,
    )


class HasRateFilter(admin.SimpleListFilter):
    title = "rate"
    parameter_name = "rate"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "With a rate"), ("no", "Without one")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Destination]) -> QuerySet[Destination]:
        return queryset.filter(rate_per_minute__isnull=self.value() == "no") if self.value() else queryset


@admin.register(Destination)
class DestinationAdmin(AskingAdmin):
    list_display = ("lane", "account", "state_", "why", "opened", "next_probe", "backlog", "rate")
    list_filter = ("state", HasRateFilter)
    list_select_related = ("account",)
    list_defer = (
        "recent",
        "account__webhook_secret",
        "account__alert_webhook_secret",
        "account__previous_webhook_secret",
    )
    search_fields = ("lane", "account__email")
    search_help_text = "Part of a host, or of an account's address"
    ordering = ("-state", "lane")  # open, half-open, closed
    actions = ("open_breaker", "close_breaker", "set_pace")
    fields = ("lane", "account", "state_", "why", "opened", "next_probe", "failures", "backlog", "rate", "looked")
    opened = utc("opened_at", "opened")
    next_probe = utc("probe_at", "next probe")
    looked = utc("looked_at", "last looked at")
    rate = plain("rate_per_minute", "rate (attempts a minute)")

    @display(description="state", ordering="state")
    def state_(self, destination: Destination) -> SafeString | None:
        return badge(destination.state, STATE_COLORS)

    @display(description="why")
    def why(self, destination: Destination) -> str | None:
        return excerpt(destination.reason) if destination.breaker.is_holding else None

    @display(description="backlog", ordering="waiting")
    def backlog(self, destination: Any) -> int:
        return destination.waiting or 0

    def get_queryset(self, request: HttpRequest) -> QuerySet[Destination]:
        rows: QuerySet[Destination] = super().get_queryset(request)
        return steering.with_backlog(rows)

    def page_actions(self, obj: Destination) -> Iterable[str]:
        return ("open_breaker" if not obj.breaker.is_open_by_hand else "close_breaker", *self._probed(obj), "set_pace")

    def _probed(self, obj: Destination) -> Iterable[str]:
        """One that opened by itself can also be closed without waiting for its probe."""
        return ("close_breaker",) if obj.breaker.is_holding and not obj.breaker.is_open_by_hand else ()

    def tables(self, obj: Destination) -> Iterable[Table]:
        answered = sum(answered for _, answered in obj.recent)
        spread = [f"{steering.latency_ms(obj.recent, share)} ms" for share in (0.5, 0.95)] if obj.recent else ["–", "–"]
        yield Table("Latest attempts", ("Seen", "Answered", "p50", "p95"), [(len(obj.recent), answered, *spread)])

    def has_delete_permission(self, request: HttpRequest, obj: Destination | None = None) -> bool:
        """Nobody: what is known of a destination goes with its account."""
        return False

    @admin.action(description="Open the breaker", permissions=["operate"])
    def open_breaker(self, request: HttpRequest, queryset: QuerySet[Destination]) -> HttpResponse | None:
        def act(one: Destination, now: datetime) -> object:
            return steering.open_by_hand(one.account, str(one.pk), now=now)

        what = "Nothing more is sent to these until somebody closes them again; what is due waits."
        return self.ask_then(request, queryset, what, lambda form: act, "Breakers opened")

    @admin.action(description="Close the breaker", permissions=["operate"])
    def close_breaker(self, request: HttpRequest, queryset: QuerySet[Destination]) -> HttpResponse | None:
        def act(one: Destination, now: datetime) -> object:
            return steering.close_by_hand(one.account, str(one.pk), now=now)

        what = "What waits for these is sent again, one request at a time first."
        return self.ask_then(request, queryset, what, lambda form: act, "Breakers closed")

    @admin.action(description="Set the pace", permissions=["operate"])
    def set_pace(self, request: HttpRequest, queryset: QuerySet[Destination]) -> HttpResponse | None:
        def acting(form: forms.Form) -> Act:
            rate = form.cleaned_data["rate_per_minute"]
            return lambda one, now: steering.set_rate(one.account, str(one.pk), rate, now=now)

        what = "How many attempts may start in a minute to each of these?"
        return self.ask_then(request, queryset, what, acting, "Paces set", PaceForm)


def in_words(wait: steering.Wait | None) -> str | None:
    """What keeps an execution waiting, and until when."""
    if wait is None:
        return None
    if wait.until:
        return f"its cue's rate of {wait.rate_per_minute} a minute, until {utc_text(wait.until)}"
    asked_again = (
        f"asked again at {utc_text(wait.next_probe_at)}" if wait.next_probe_at else "until it is closed by hand"
    )
    return f"{wait.destination}, which is {wait.state.replace('_', '-')}: {wait.reason.rstrip('.')}; {asked_again}"
