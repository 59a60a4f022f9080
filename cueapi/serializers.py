"""The shapes of accounts, keys and secrets."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from rest_framework import serializers

from cueapi import fields


class EmailAddress(fields.Text):
    """An e-mail address, at most 254 characters."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=254, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        address = super().to_internal_value(data)
        try:
            validate_email(address)
        except ValidationError:
            raise serializers.ValidationError("must be an e-mail address such as ada@example.org") from None
        return address


class RegisterRequest(serializers.Serializer):
    email = EmailAddress()


class RegisterAnswer(serializers.Serializer):
    api_key = fields.Text()
    email = fields.Text()


class ProfileRequest(serializers.Serializer):
    email = EmailAddress(required=False, allow_null=True)
    alert_webhook_url = fields.Text(required=False, allow_null=True, allow_blank=True, trim_whitespace=False)


class UpdatedAnswer(serializers.Serializer):
    updated_at = fields.Instant()


class MeAnswer(serializers.Serializer):
    id = serializers.UUIDField()
    email = fields.Text()
    plan = fields.Text()
    active_cues = fields.Whole()
    active_cue_limit = fields.Whole()
    executions_this_month = fields.Whole()
    monthly_execution_limit = fields.Whole()
    rate_limit_per_minute = fields.Whole()
    has_webhook_secret = fields.Flag()
    api_key_prefix = fields.Text(allow_null=True)
    slug = fields.Text()
    alert_webhook_url = fields.Text(allow_null=True)


class KeyAnswer(serializers.Serializer):
    api_key = fields.Text()
    key_prefix = fields.Text()


class Rotation(fields.Optional):
    """The body of a call that replaces a key or a secret: how long the old one stays good beside the new one."""

    overlap_hours = fields.Whole(min_value=0, max_value=168, help_text="0 by default: the old one ends at once")


class KeyReplacedAnswer(serializers.Serializer):
    api_key = fields.Text()
    previous_key_revoked = fields.Flag(help_text="false while an overlap lasts")
    previous_key_valid_until = fields.Instant(allow_null=True)


class WebhookSecretAnswer(serializers.Serializer):
    webhook_secret = fields.Text()


class WebhookSecretReplacedAnswer(WebhookSecretAnswer):
    previous_secret_revoked = fields.Flag(help_text="false while an overlap lasts")
    previous_secret_valid_until = fields.Instant(allow_null=True)


class AlertSecretAnswer(serializers.Serializer):
    alert_webhook_secret = fields.Text()


class AlertSecretReplacedAnswer(AlertSecretAnswer):
    previous_secret_revoked = fields.Flag()


class StatusAnswer(serializers.Serializer):
    status = serializers.ChoiceField(["healthy", "degraded", "down"])
    reason = fields.Text(required=False)


class AuthenticationPaths(serializers.Serializer):
    per_user_api_key = fields.Flag()
    internal_token_with_on_behalf_of = fields.Flag()


class InfoAnswer(serializers.Serializer):
    version = fields.Text()
    authorization_backend = fields.Text()
    authentication_paths = AuthenticationPaths()
    disabled_primitives = serializers.ListField(child=fields.Text())


class ErrorDetail(serializers.Serializer):
    field = fields.Text()
    message = fields.Text()


class ErrorBody(serializers.Serializer):
    code = fields.Text()
    message = fields.Text()
    status = fields.Whole()
    details = ErrorDetail(many=True, required=False)


class ErrorMirror(serializers.Serializer):
    error = ErrorBody()


class ErrorAnswer(serializers.Serializer):
    """Every error looks like this; `detail.error` repeats `error` for older clients."""

    error = ErrorBody()
    detail = ErrorMirror()
