"""The admin pages of accounts, their API keys and the audit trail.

No secret reaches them: a key is named by its first characters.
"""

import json
from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Group
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm
from unfold.widgets import UnfoldAdminSelectWidget

from cueapi import accounts, clock, keys, trail
from cueapi.console import EMPTY, ConsoleAdmin, Table, badge, link, pre, utc, utc_time
from cueapi.models import Account, ApiKey, AuditAction, AuditEvent
from cueapi.plans import PLANS

KEYS_SHOWN = 50
MONTHS_SHOWN = 12
PLAN_HELP = "The name that the API shows. The limits below are what counts; they do not follow it."
MONTHLY_HELP = "Webhook attempts and worker claims in a UTC calendar month. 0 is no limit."
SETTINGS = (
    *("email", "is_active", "plan", "active_cue_limit", "monthly_execution_limit", "rate_limit_per_minute"),
    *("alert_email", "is_staff", "is_superuser"),
)
"""What of an account a superuser may change here."""
ACTION_COLORS = {
    action: {"created": "success", "deleted": "danger", "revoked": "danger"}.get(action.partition(".")[2], "info")
    for action in AuditAction.values
}
KEY_COLORS = {"live": "success", "replaced": "warning", "revoked": "danger"}

admin.site.index_title = "Overview"
admin.site.unregister(Group)  # who may enter is either a superuser or has a few permissions of their own


@admin.register(Account)
class AccountAdmin(ConsoleAdmin, UserAdmin):
    """Accounts are made over the API; here a superuser changes what they may do, and sets passwords."""

    change_password_form = AdminPasswordChangeForm
    list_display = ("email", "plan", "active_cues", "is_active", "is_staff", "created")
    list_filter = ("plan", "is_active", "is_staff")
    search_fields = ("email", "slug")
    ordering = ("email",)
    filter_horizontal = ("user_permissions",)
    readonly_fields = ("slug", "created", "alert_webhook_url", "last_signed_in", "password_form")
    list_defer = ("webhook_secret", "alert_webhook_secret")
    fieldsets = (
        (None, {"fields": ("email", "slug", "is_active", "created")}),
        ("Plan", {"fields": ("plan", "active_cue_limit", "monthly_execution_limit", "rate_limit_per_minute")}),
        ("Alerts", {"fields": ("alert_webhook_url", "alert_email")}),
        ("Admin", {"fields": ("is_staff", "is_superuser", "last_signed_in", "password_form", "user_permissions")}),
    )
    created = utc("created_at", "created")
    last_signed_in = utc("last_login", "last signed in")

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "plan":
            names = [(name, name) for name in PLANS]
            return forms.ChoiceField(choices=names, widget=UnfoldAdminSelectWidget, help_text=PLAN_HELP)
        if db_field.name == "monthly_execution_limit":
            kwargs["help_text"] = MONTHLY_HELP
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    @display(description="active cues", ordering="active_cues")
    def active_cues(self, account: Any) -> int:
        return int(account.active_cues)

    @display(description="password")
    def password_form(self, account: Account) -> SafeString:
        url = reverse("admin:auth_user_password_change", args=[account.pk])
        return format_html('<a class="text-link" href="{}">Set a new password</a>', url)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Account]:
        active = Count("cues", filter=Q(cues__status="active"))
        accounts: QuerySet[Account] = super().get_queryset(request)
        return accounts.annotate(active_cues=active)

    def tables(self, obj: Account) -> Iterable[Table]:
        rows = obj.api_keys.defer("copy").order_by("-created_at")[:KEYS_SHOWN]
        yield Table(
            "API keys",
            ("Key", "Label", "State", "Created", "Last used", "Replaced", "Revoked"),
            [(link(key, f"{key.prefix}…"), key.label, badge(state_of(key), KEY_COLORS), *_times(key)) for key in rows],
        )
        months = obj.usage.order_by("-month")[:MONTHS_SHOWN]
        yield Table(
            "Usage",
            ("Month", "Executions", "Limit reached"),
            [(f"{usage.month:%Y-%m}", usage.executions, utc_time(usage.limit_reached_at)) for usage in months],
        )

    def save_model(self, request: HttpRequest, obj: Account, form: Any, change: bool) -> None:
        """Remember how it was, for `save_related`, which comes last."""
        form.account_was = _settings_of(Account.objects.select_for_update(no_key=True).get(pk=obj.pk))
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        accounts.record_update(form.instance, form.account_was, _settings_of(form.instance), now=clock.now())

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Superusers only: whoever may edit accounts could make themselves one."""
        return bool(request.user.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody: an account that must go is made inactive, and what it did stays explained."""
        return False


@admin.register(ApiKey)
class ApiKeyAdmin(ConsoleAdmin):
    list_display = ("key", "label", "state", "account", "created", "last_used")
    list_select_related = ("account",)
    list_defer = ("copy", "account__webhook_secret", "account__alert_webhook_secret")
    search_fields = ("prefix", "label", "account__email")
    ordering = ("-created_at",)
    actions = ("revoke",)
    fields = ("key", "label", "state", "account", "created_by", "created", "last_used", "replaced", "revoked")
    created = utc("created_at", "created")
    last_used = utc("last_used_at", "last used")
    replaced = utc("replaced_at", "replaced")
    revoked = utc("revoked_at", "revoked")

    @display(description="key", ordering="prefix")
    def key(self, key: ApiKey) -> str:
        return f"{key.prefix}…"

    @display(description="state")
    def state(self, key: ApiKey) -> SafeString | None:
        return badge(state_of(key), KEY_COLORS)

    def page_actions(self, obj: ApiKey) -> Iterable[str]:
        return ("revoke",) if state_of(obj) == "live" else ()

    @admin.action(description="Revoke", permissions=["operate"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        self.say_done(request, keys.revoke_all(queryset, now=clock.now()), "Keys revoked")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def state_of(key: ApiKey) -> str:
    if key.revoked_at:
        return "revoked"
    return "replaced" if key.replaced_at else "live"


def _times(key: ApiKey) -> list[SafeString | None]:
    return [utc_time(instant) for instant in (key.created_at, key.last_used_at, key.replaced_at, key.revoked_at)]


def _settings_of(account: Account) -> trail.Facts:
    permissions = sorted(account.user_permissions.values_list("codename", flat=True))
    return {**{name: getattr(account, name) for name in SETTINGS}, "user_permissions": permissions}


@admin.register(AuditEvent)
class AuditEventAdmin(ConsoleAdmin):
    """Who changed what. Nothing here can be added, changed or deleted."""

    list_display = ("when", "action_", "subject", "actor", "actor_kind", "address", "account")
    list_filter = ("action", "actor_kind", "subject_type")
    list_select_related = ("account",)
    list_defer = ("before", "after", "account__webhook_secret", "account__alert_webhook_secret")
    search_fields = ("subject_id",)
    search_help_text = "The whole id of what was changed, or an account's whole address"
    ordering = ("-at", "-id")
    fields = ("when", "action_", "subject", "subject_id", "account", "actor", "actor_kind", "address", "request_id")
    when = utc("at", "when")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[AuditEvent], search_term: str
    ) -> tuple[QuerySet[AuditEvent], bool]:
        """By an index each: parts of an id or an address would read the whole trail."""
        term = search_term.strip()
        if "@" in term:
            account = accounts.of_address(term)
            return (queryset.filter(account=account) if account else queryset.none()), False
        return (queryset.filter(subject_id=term) if term else queryset), False

    @display(description="action", ordering="action")
    def action_(self, event: AuditEvent) -> SafeString | None:
        return badge(event.action, ACTION_COLORS)

    @display(description="what")
    def subject(self, event: AuditEvent) -> str:
        return f"{event.subject_type} {event.subject_name or event.subject_id}"

    def tables(self, obj: AuditEvent) -> Iterable[Table]:
        names = dict.fromkeys([*obj.before, *obj.after])
        rows = [(name, _value(obj.before, name), _value(obj.after, name)) for name in names]
        yield Table("What changed", ("Field", "Before", "After"), rows)

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def _value(facts: trail.Facts, name: str) -> SafeString | str | None:
    if name not in facts:
        return EMPTY
    value = facts[name]
    return value if isinstance(value, str) else pre(json.dumps(value, indent=2, ensure_ascii=False))
