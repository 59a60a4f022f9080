"""What the admin pages of every app share: lists that stay cheap, pages that only show, actions as buttons.

A page changes nothing by GET: its buttons post the list's own actions, so each needs a CSRF token and a permission.
Whatever users sent reaches a page through `format_html` or a template, which escape it.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.contrib.admin import ShowFacets
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import quote
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.views import ChangeList

from cueapi.clock import utc_text

COUNTED_MAX = 10_000
EMPTY = "–"


@dataclass(frozen=True)
class Button:
    """One action that a page offers for what it shows."""

    action: str
    label: str


@dataclass(frozen=True)
class Table:
    """Rows that belong to what a page shows. Cells are escaped unless they come from `format_html`."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[Any]]


class CappedPaginator(Paginator):
    """Counts and pages through the first rows only: older ones are found by filters and search."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by()[:COUNTED_MAX].count())


class LightChangeList(ChangeList):
    """Leaves what the list does not show in the database: payloads are large, and secrets take time to open."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request, exclude_parameters)
        return rows.defer(*self.model_admin.list_defer)


class CheapListAdmin(ModelAdmin):
    """A list whose cost does not grow with the table."""

    list_defer: tuple[str, ...] = ()

    list_per_page = 50
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    paginator: Any = CappedPaginator
    list_disable_select_all = True
    empty_value_display = EMPTY

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return LightChangeList

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any], *args: Any) -> HttpResponse | None:
        """Run the action on the chosen rows, of one page at most."""
        if request.POST.get("select_across") == "1":
            self.message_user(request, "Choose the rows one page at a time.", messages.WARNING)
            return None
        response: HttpResponse | None = super().response_action(request, queryset, *args)
        return response

    def say_done(self, request: HttpRequest, done: int, what: str) -> None:
        """One message about how many rows an action changed; a warning when it was none."""
        self.message_user(request, f"{what}: {done}.", messages.SUCCESS if done else messages.WARNING)


class ConsoleAdmin(CheapListAdmin):
    """A page that shows one row and what belongs to it; what may be done to it is an action."""

    change_form_outer_before_template = "cueapi/console_buttons.html"
    change_form_outer_after_template = "cueapi/console_tables.html"

    def page_actions(self, obj: Any) -> Iterable[str]:
        """The names of the actions that make sense for `obj` as it is."""
        return ()

    def tables(self, obj: Any) -> Iterable[Table]:
        """What is shown below the fields. Each table must be bounded."""
        return ()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Whether this user may run actions: the right to change that the read-only page itself does not grant."""
        return bool(request.user.has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}"))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: Any = None, **kwargs: Any
    ) -> HttpResponse:
        allowed = self.get_actions(request)
        context["buttons"] = [Button(name, allowed[name][2]) for name in self.page_actions(obj) if name in allowed]
        context["tables"] = list(self.tables(obj))
        response: HttpResponse = super().render_change_form(request, context, *args, obj=obj, **kwargs)
        return response

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any], *args: Any) -> HttpResponse | None:
        """Run the action, then return to where it was asked for: the list, or the page of one row."""
        response: HttpResponse | None = super().response_action(request, queryset, *args)
        if "from_page" in request.POST and isinstance(response, HttpResponseRedirect):
            pk = request.POST[ACTION_CHECKBOX_NAME]
            return HttpResponseRedirect(self.page_url(pk))
        return response

    def page_url(self, pk: Any) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[quote(pk)])


# --- Columns and fields -----------------------------------------------------------------------------------------


def plain(field: str, title: str) -> Callable[..., Any]:
    """A column under another title than its name, say one with the unit."""

    @display(description=title, ordering=field)
    def column(self: Any, obj: Any) -> Any:
        return getattr(obj, field)

    return column  # type: ignore[no-any-return]


def utc(field: str, title: str) -> Callable[..., SafeString | None]:
    """A column for an instant, in UTC and saying so."""

    @display(description=title, ordering=field)
    def column(self: Any, obj: Any) -> SafeString | None:
        return utc_time(getattr(obj, field))

    return column  # type: ignore[no-any-return]


def as_json(field: str, title: str) -> Callable[..., SafeString | None]:
    """A field that holds JSON, indented."""

    @display(description=title)
    def column(self: Any, obj: Any) -> SafeString | None:
        value = getattr(obj, field)
        return None if value is None else pre(json.dumps(value, indent=2, ensure_ascii=False))

    return column  # type: ignore[no-any-return]


def as_text(field: str, title: str) -> Callable[..., SafeString | None]:
    """A field that holds lines of text, as they are."""

    @display(description=title)
    def column(self: Any, obj: Any) -> SafeString | None:
        return pre(getattr(obj, field))

    return column  # type: ignore[no-any-return]


def utc_time(instant: datetime | None) -> SafeString | None:
    return format_html('<time class="whitespace-nowrap">{}</time>', utc_text(instant)) if instant else None


def pre(text: str | None) -> SafeString | None:
    return format_html('<pre class="console-pre">{}</pre>', text) if text else None


def badge(text: str | None, colors: Mapping[Any, str]) -> SafeString | None:
    """`text` in the theme's colour for it: success, info, warning, danger or primary."""
    return render_to_string("unfold/helpers/label.html", {"text": text, "type": colors.get(text)}) if text else None


def link(obj: Model, text: object = None) -> SafeString:
    """A link to the admin page of `obj`."""
    url = reverse(f"admin:{obj._meta.app_label}_{obj._meta.model_name}_change", args=[quote(obj.pk)])
    return format_html('<a class="text-link" href="{}">{}</a>', url, obj if text is None else text)


def excerpt(text: str | None, max_chars: int = 80) -> str | None:
    return text if not text or len(text) <= max_chars else text[: max_chars - 1] + "…"
