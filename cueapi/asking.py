"""Actions of the admin that say what they would do, and do it once that is confirmed."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from cueapi import clock
from cueapi.console import ConsoleAdmin
from cueapi.errors import ApiError

Act = Callable[[Any, datetime], object]
"""Does it to one row, now. Raises ApiError where that cannot be."""


class ConfirmForm(forms.Form):
    """Nothing to fill in."""


class AskingAdmin(ConsoleAdmin):
    """An action calls `ask_then` and returns its answer."""

    def ask_then(
        self,
        request: HttpRequest,
        queryset: QuerySet[Any],
        what: str,
        acting: Callable[[forms.Form], Act],
        done: str,
        form_of: type[forms.Form] = ConfirmForm,
    ) -> HttpResponse | None:
        """Show what would be done; once confirmed with a valid form, do what `acting` makes of the form."""
        confirmed = request.POST.get("confirmed") == "yes"
        form = form_of(request.POST if confirmed else None)
        if not confirmed or not form.is_valid():
            return self._ask(request, queryset, form, what)
        act = acting(form)
        self.say_done(request, sum(self._try(request, act, one) for one in queryset), done)
        return None

    def _ask(self, request: HttpRequest, queryset: QuerySet[Any], form: forms.Form, what: str) -> TemplateResponse:
        action = request.POST["action"]
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": self.get_actions(request)[action][2],
            "what": what,
            "action": action,
            "queryset": queryset,
            "form": form,
            "from_page": "from_page" in request.POST,
        }
        return TemplateResponse(request, "cueapi/confirm_action.html", context)

    def _try(self, request: HttpRequest, act: Act, row: Any) -> bool:
        try:
            act(row, clock.now())
        except ApiError as error:
            self.message_user(request, f"{row}: {error.message}", messages.ERROR)
            return False
        return True
