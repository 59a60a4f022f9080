"""Doors: an account, its key and its secrets (contract 2.2)."""

from datetime import timedelta

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from cueapi import accounts, clock, keys, serializers
from cueapi.api import ApiView, PublicView, account_of, checked, key_of, require_confirmation
from cueapi.errors import ApiError, NotFound
from cueapi.openapi import refuses


class PlaintextUnavailable(ApiError):
    """Only a hash of this key is kept, so it cannot be shown again. Regenerate it to get a new one."""

    status = 410
    code = "plaintext_unavailable"


class RegisterView(PublicView):
    @refuses("404 not_found", "409 duplicate_email")
    @extend_schema(
        operation_id="register",
        request=serializers.RegisterRequest,
        responses={201: serializers.RegisterAnswer},
        summary="Make an account and its first key",
    )
    def post(self, request: Request) -> Response:
        if not accounts.may_register():
            raise NotFound("Registration is switched off on this server. Ask its operator for a key.")
        data = checked(serializers.RegisterRequest(data=request.data))
        account, key = accounts.register(data["email"], now=clock.now())
        return Response({"api_key": key, "email": account.email}, status=201)


class ProfileView(ApiView):
    """`PATCH /v1/auth/me`; the GET, which counts cues, is served by the app that has them."""

    @refuses("400 invalid_alert_webhook_url", "409 duplicate_email", "422 no_fields")
    @extend_schema(
        operation_id="update_me",
        request=serializers.ProfileRequest,
        responses={200: serializers.UpdatedAnswer},
        summary="Change the e-mail address, the alert webhook or whether alerts are mailed",
    )
    def patch(self, request: Request) -> Response:
        data = checked(serializers.ProfileRequest(data=request.data))
        account = accounts.update_profile(
            account_of(request),
            email=data.get("email"),
            alert_webhook_url=data.get("alert_webhook_url"),
            alert_email=data.get("alert_email"),
            now=clock.now(),
        )
        return Response({"updated_at": clock.rfc3339(account.updated_at)})


class KeyView(ApiView):
    @refuses("410 plaintext_unavailable")
    @extend_schema(
        operation_id="reveal_key",
        responses={200: serializers.KeyAnswer},
        summary="Reveal the key, where the server keeps a copy",
    )
    def get(self, request: Request) -> Response:
        key = key_of(request)
        if key is None or not key.copy:
            raise PlaintextUnavailable()
        return Response({"api_key": key.copy, "key_prefix": key.prefix})


class KeyRegenerateView(ApiView):
    @refuses("400 confirmation_required", "404 not_found")
    @extend_schema(
        operation_id="regenerate_key",
        request=serializers.Rotation,
        responses={200: serializers.KeyReplacedAnswer},
        summary="Replace the key of this call, or of a session's account (needs X-Confirm-Destructive: true)",
    )
    def post(self, request: Request) -> Response:
        require_confirmation(request)
        now, overlap, key = clock.now(), _overlap(request), key_of(request)
        if key is None:
            raise NotFound("This account has no live key to replace. Make one: POST /v1/auth/keys.")
        plaintext = keys.regenerate(key, overlap=overlap, now=now)
        until = clock.rfc3339(now + overlap) if overlap else None
        return Response({"api_key": plaintext, "previous_key_revoked": not overlap, "previous_key_valid_until": until})


def _overlap(request: Request) -> timedelta:
    """How long the old key or secret stays good, from the body."""
    return timedelta(hours=checked(serializers.Rotation(data=request.data)).get("overlap_hours", 0))


class WebhookSecretView(ApiView):
    @extend_schema(
        operation_id="webhook_secret",
        responses={200: serializers.WebhookSecretAnswer},
        summary="The secret that signs deliveries",
    )
    def get(self, request: Request) -> Response:
        return Response({"webhook_secret": account_of(request).webhook_secret})

    @refuses("400 confirmation_required")
    @extend_schema(
        operation_id="regenerate_webhook_secret_by_alias",
        request=serializers.Rotation,
        responses={200: serializers.WebhookSecretReplacedAnswer},
        summary="The same as POST …/regenerate",
    )
    def post(self, request: Request) -> Response:
        return _replace_webhook_secret(request)


class WebhookSecretRegenerateView(ApiView):
    @refuses("400 confirmation_required")
    @extend_schema(
        operation_id="regenerate_webhook_secret",
        request=serializers.Rotation,
        responses={200: serializers.WebhookSecretReplacedAnswer},
        summary="Replace the secret (needs X-Confirm-Destructive: true)",
    )
    def post(self, request: Request) -> Response:
        return _replace_webhook_secret(request)


def _replace_webhook_secret(request: Request) -> Response:
    require_confirmation(request)
    now, overlap = clock.now(), _overlap(request)
    secret = accounts.regenerate_webhook_secret(account_of(request), overlap=overlap, now=now)
    until = clock.rfc3339(now + overlap) if overlap else None
    return Response(
        {"webhook_secret": secret, "previous_secret_revoked": not overlap, "previous_secret_valid_until": until}
    )


class AlertSecretView(ApiView):
    @extend_schema(
        operation_id="alert_secret",
        responses={200: serializers.AlertSecretAnswer},
        summary="The secret that signs alert webhooks",
    )
    def get(self, request: Request) -> Response:
        return Response({"alert_webhook_secret": accounts.alert_secret(account_of(request))})


class AlertSecretRegenerateView(ApiView):
    @refuses("400 confirmation_required")
    @extend_schema(
        operation_id="regenerate_alert_secret",
        request=None,
        responses={200: serializers.AlertSecretReplacedAnswer},
        summary="Replace the alert secret (needs X-Confirm-Destructive: true)",
    )
    def post(self, request: Request) -> Response:
        require_confirmation(request)
        secret = accounts.regenerate_alert_secret(account_of(request), now=clock.now())
        return Response({"alert_webhook_secret": secret, "previous_secret_revoked": True})
