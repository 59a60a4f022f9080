"""Doors: the cues themselves (contract 3), and the profile, which counts them.

`GET /v1/cues/{id}` and `POST /v1/cues/{id}/fire` need executions, so that app serves them.
"""

from datetime import datetime
from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, PolymorphicProxySerializer, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from cueapi import clock, usage
from cueapi.api import ApiView, account_of, checked, key_of, require_confirmation
from cueapi.errors import ValidationFailed
from cueapi.openapi import leads_to, page_parameters, refuses
from cueapi.pagination import page, whole_number
from cueapi.serializers import MeAnswer
from cueapi.views.account import ProfileView
from cues import foresight, services
from cues.models import Cue, CueStatus
from cues.serializers import answers, previews, requests
from cues.zones import instant_in, zone

DEFAULT_LIMIT = 50
PREVIEWED, PREVIEWED_MAX = 10, 100
HOOK = {"url": "https://hooks.example.org/digest"}
NIGHTLY = {"name": "nightly-digest", "schedule": {"type": "recurring", "cron": "15 2 * * *"}, "callback": HOOK}
NOW = {"name": "digest-now", "schedule": {"type": "one-time"}, "callback": HOOK, "payload": {"task": "digest"}}
PULLED = {"name": "digest-here", "schedule": {"type": "one-time"}, "transport": "worker", "payload": {"task": "digest"}}


class CueListView(ApiView):
    @refuses(
        "400 invalid_schedule invalid_callback_url invalid_payload_size",
        "403 cue_limit_exceeded",
        "409 duplicate_cue_name",
        "422 invalid_timezone",
    )
    @leads_to("get_cue", "update_cue", "delete_cue", "fire_cue", "pause_cue", "resume_cue", cue_id="id")
    @extend_schema(
        operation_id="create_cue",
        request=requests.CueCreate,
        responses={201: answers.CueOut},
        examples=[
            OpenApiExample("On a cron", NIGHTLY, request_only=True),
            OpenApiExample("Now, once", NOW, request_only=True),
            OpenApiExample("For a worker", PULLED, request_only=True),
        ],
        summary="Declare a cue: now, at a time, or on a cron",
    )
    def post(self, request: Request) -> Response:
        data = checked(requests.CueCreate(data=request.data))
        created = services.create(account_of(request), data, now=clock.now())
        unknown = requests.unknown_fields(dict(request.data))
        warnings = filter(None, [created.warning, unknown, self.advice(created.cue)])
        return Response(answers.render(created.cue, " ".join(warnings) or None), status=201)

    def advice(self, cue: Cue) -> str | None:
        """What else the creator should know; the app that knows workers says it."""
        return None

    @refuses("422 validation_error")
    @extend_schema(
        operation_id="list_cues",
        parameters=[OpenApiParameter("status", str), *page_parameters()],
        responses={200: answers.CueList},
        summary="Your cues, newest first",
    )
    def get(self, request: Request) -> Response:
        wanted = page(request, default=DEFAULT_LIMIT)
        cues = Cue.objects.of(account_of(request)).order_by("-created_at", "-id")
        if "status" in request.query_params:
            cues = cues.filter(status=_storable(request.query_params["status"]))
        return Response(
            {
                "cues": [answers.render(cue) for cue in wanted.of(cues)],
                "total": cues.count(),
                "limit": wanted.limit,
                "offset": wanted.offset,
            }
        )


class BulkDeleteView(ApiView):
    @refuses("400 confirmation_required")
    @extend_schema(
        operation_id="bulk_delete_cues",
        request=requests.BulkDelete,
        responses={200: answers.BulkDeleted},
        summary="Delete up to 100 cues, each on its own (needs X-Confirm-Destructive: true)",
    )
    def post(self, request: Request) -> Response:
        require_confirmation(request)
        wanted = checked(requests.BulkDelete(data=request.data))["ids"]
        account, now = account_of(request), clock.now()
        deleted = [services.delete_if_there(account, cue_id, now=now) for cue_id in wanted]
        return Response(
            {
                "deleted": [cue_id for cue_id, done in zip(wanted, deleted, strict=True) if done],
                "skipped": [cue_id for cue_id, done in zip(wanted, deleted, strict=True) if not done],
            }
        )


class CueView(ApiView):
    """`PATCH` and `DELETE`; the app that knows executions adds `GET`."""

    @refuses(
        "400 invalid_schedule invalid_callback_url invalid_payload_size",
        "403 cue_limit_exceeded",
        "404 cue_not_found",
        "409 duplicate_cue_name",
        "422 invalid_timezone",
    )
    @extend_schema(
        operation_id="update_cue",
        request=requests.CuePatch,
        responses={200: answers.CueOut},
        summary="Change a cue; only what is sent changes",
    )
    def patch(self, request: Request, cue_id: str) -> Response:
        account = account_of(request)
        services.find(account, cue_id)
        data = checked(requests.CuePatch(data=request.data))
        return Response(answers.render(services.update(account, cue_id, data, now=clock.now())))

    @refuses("404 cue_not_found")
    @extend_schema(operation_id="delete_cue", responses={204: None}, summary="Delete a cue and its executions")
    def delete(self, request: Request, cue_id: str) -> Response:
        services.delete(services.find(account_of(request), cue_id), now=clock.now())
        return Response(status=204)


class CuePauseView(ApiView):
    @refuses("400 invalid_schedule", "404 cue_not_found")
    @extend_schema(operation_id="pause_cue", request=None, responses={200: answers.CueOut}, summary="Pause a cue")
    def post(self, request: Request, cue_id: str) -> Response:
        return _switch(request, cue_id, "paused")


class CueResumeView(ApiView):
    @refuses("400 invalid_schedule", "403 cue_limit_exceeded", "404 cue_not_found")
    @extend_schema(
        operation_id="resume_cue",
        request=previews.ResumeIn,
        responses={
            200: PolymorphicProxySerializer(
                component_name="Resumed",
                serializers=[answers.CueOut, previews.ResumptionOut],
                resource_type_field_name=None,
            )
        },
        summary="Resume a paused cue from now on, or with dry_run say what that would do",
    )
    def post(self, request: Request, cue_id: str) -> Response:
        if "dry_run" in request.query_params:
            raise ValidationFailed.of("query.dry_run", 'belongs in the body: {"dry_run": true}')
        if checked(previews.ResumeIn(data=request.data)).get("dry_run"):
            cue = services.find(account_of(request), cue_id)
            return Response(previews.render_resumption(foresight.of_resume(cue, now=clock.now())))
        return _switch(request, cue_id, "active")


class CuePreviewView(ApiView):
    @refuses("400 invalid_schedule", "404 cue_not_found", "422 validation_error")
    @extend_schema(
        operation_id="preview_cue",
        parameters=[
            OpenApiParameter("count", int, description="due times before and after, 1 to 100, by default 10"),
            OpenApiParameter("from", datetime, description="RFC 3339: look from then on, not from now"),
        ],
        responses={200: previews.PreviewOut},
        summary="When a cue is due next, was due last, and what clock changes do",
    )
    def get(self, request: Request, cue_id: str) -> Response:
        cue = services.find(account_of(request), cue_id)
        count = whole_number(request, "count", default=PREVIEWED, low=1, high=PREVIEWED_MAX)
        start, now = _start(request.query_params.get("from"), cue.timezone, "query.from"), clock.now()
        return Response(previews.render(foresight.of_cue(cue, start=start or now, count=count, now=now), cue.status))


class SchedulePreviewView(ApiView):
    @refuses("400 invalid_schedule", "422 invalid_timezone")
    @extend_schema(
        operation_id="preview_schedule",
        request=previews.PreviewIn,
        responses={200: previews.PreviewOut},
        summary="When a schedule would be due, before a cue has it",
    )
    def post(self, request: Request) -> Response:
        body = previews.PreviewIn(data=request.data)
        data = checked(body)
        part = data.get("schedule") or {}
        start = _start(data.get("from"), part.get("timezone") or "UTC", "body.from")
        count = data.get("count") or PREVIEWED
        found = foresight.of_schedule(part, start=start, count=count, now=clock.now())
        return Response(previews.render(found.with_message(body.unknown_fields())))


def _start(text: str | None, timezone_name: str, where: str) -> datetime | None:
    """The instant to look from. Raises InvalidTimezone, ValidationFailed."""
    return instant_in(text, zone(timezone_name), where=where) if text else None


def _switch(request: Request, cue_id: str, status: str) -> Response:
    cue = services.update(account_of(request), cue_id, {"status": status}, now=clock.now())
    return Response(answers.render(cue))


class MeView(ProfileView):
    @extend_schema(operation_id="me", responses={200: MeAnswer}, summary="Your account, its limits and its use")
    def get(self, request: Request) -> Response:
        account, key, now = account_of(request), key_of(request), clock.now()
        answer: dict[str, Any] = {
            "id": str(account.pk),
            "email": account.email,
            "plan": account.plan,
            "active_cues": Cue.objects.of(account).filter(status=CueStatus.ACTIVE).count(),
            "active_cue_limit": account.active_cue_limit,
            "executions_this_month": usage.this_month(account.pk, now=now),
            "monthly_execution_limit": usage.limit_of(account),
            "rate_limit_per_minute": account.rate_limit_per_minute,
            "has_webhook_secret": bool(account.webhook_secret),
            "api_key_prefix": key.prefix if key else None,
            "slug": account.slug,
            "alert_webhook_url": account.alert_webhook_url or None,
            "alert_email": account.alert_email,
        }
        return Response(answer)


def _storable(text: str) -> str:
    """Query text that no database refuses; a NUL can match nothing anyway."""
    return text.replace("\x00", "\ufffd")
