"""What cues' admin pages show and do with executions: how each cue does, and firing."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from unfold.decorators import display
from unfold.views import ChangeList

from cueapi import clock
from cueapi.console import LightChangeList, link
from cueapi.errors import ApiError
from cues.admin import CueAdmin
from cues.models import Cue
from executions import firing, portrait, streaks
from executions.links import Form, Links
from executions.states import Status
from executions.streaks import Lately

admin.site.unregister(Cue)


class CueChangeList(LightChangeList):
    """The cues of a page with how each did lately, read together."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        cues = list(self.result_list)
        lately = streaks.lately([cue.pk for cue in cues])
        for cue in cues:
            cue.lately = lately.get(cue.pk, Lately())
        self.result_list = cues


@admin.register(Cue)
class FireableCueAdmin(CueAdmin):
    """The cue's page with all that its owner's page shows, and the action that makes one more execution."""

    actions: Any = (*CueAdmin.actions, "fire")
    list_display: Any = (*CueAdmin.list_display[:3], "failures", *CueAdmin.list_display[3:])
    list_per_page = 30  # how each did lately takes time
    change_form_outer_before_template = "executions/admin/cue.html"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return CueChangeList

    @display(description="failures in a row")
    def failures(self, cue: Cue) -> str:
        return str(getattr(cue, "lately").in_words)  # noqa: B009  the list sets it

    def page_actions(self, obj: Cue) -> Iterable[str]:
        return (*super().page_actions(obj), "fire")

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: Any = None, **kwargs: Any
    ) -> HttpResponse:
        links = self._links(request, obj)
        context["portrait"] = portrait.read(obj, links, asked=request.GET.dict(), now=clock.now())
        return super().render_change_form(request, context, *args, obj=obj, **kwargs)

    def _links(self, request: HttpRequest, cue: Cue) -> Links:
        allowed, offered = self.get_actions(request), set(self.page_actions(cue))
        common = {ACTION_CHECKBOX_NAME: cue.pk, "index": "0", "from_page": "1"}
        form_of = {
            action: Form(reverse("admin:cues_cue_changelist"), {**common, "action": action})
            for action in offered
            if action in allowed
        }
        runs = f"{reverse('admin:executions_execution_changelist')}?{urlencode({'q': cue.pk})}"
        return Links(
            here=self.page_url(cue.pk),
            runs=runs,
            failures=f"{runs}&{urlencode({'status__exact': Status.FAILED})}",
            changes=f"{reverse('admin:cueapi_auditevent_changelist')}?{urlencode({'q': cue.pk})}",
            execution=lambda execution_id: reverse("admin:executions_execution_change", args=[execution_id]),
            cue=self.page_url,
            act=form_of.get,
        )

    @admin.action(description="Fire now", permissions=["operate"])
    def fire(self, request: HttpRequest, queryset: QuerySet[Cue]) -> None:
        for cue in queryset:
            try:
                execution = firing.fire(cue, firing.ManualFire(), now=clock.now())
            except ApiError as error:
                self.message_user(request, f"{cue}: {error.message}", messages.ERROR)
            else:
                self.message_user(request, format_html("Fired {} as {}.", cue, link(execution)), messages.SUCCESS)
