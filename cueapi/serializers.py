"""The shapes of accounts, keys and secrets."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from rest_framework import serializers

from cueapi import fields
from cueapi.models import ActorKind, AuditAction, SubjectType


class EmailAddress(fields.Text):
    """An e-mail address, at most 254 characters."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=254, style={"format": "email"}, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        address = super().to_internal_value(data)
        try:
            validate_email(address)
        except ValidationError:
            raise serializers.ValidationError("must be an e-mail address such as ada@example.org") from None
        name, _, domain = address.rpartition("@")
        return f"{name}@{domain.lower()}"  # SQLite compares without case in ASCII alone


class RegisterRequest(fields.Part):
    email = EmailAddress()


class RegisterAnswer(serializers.Serializer):
    api_key = fields.Text()
    email = fields.Text()


class ProfileRequest(fields.Strict):
    email = EmailAddress(required=False, allow_null=True)
    alert_webhook_url = fields.Text(required=False, allow_null=True, allow_blank=True, trim_whitespace=False)
    alert_email = fields.Flag(required=False, allow_null=True, help_text="whether alerts are mailed to you")


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
    alert_email = fields.Flag()


class KeyAnswer(serializers.Serializer):
    api_key = fields.Text()
    key_prefix = fields.Text()


class Rotation(fields.Strict):
    """The body of a call that replaces a key or a secret: how long the old one stays good beside the new one."""

    overlap_hours = fields.Whole(
        required=False, min_value=0, max_value=168, help_text="0 by default: the old one ends at once"
    )


class KeyReplacedAnswer(serializers.Serializer):
    api_key = fields.Text()
    previous_key_revoked = fields.Flag(help_text="false while an overlap lasts")
    previous_key_valid_until = fields.Instant(allow_null=True)


class KeyLabel(fields.Part):
    label = fields.Text(  # type: ignore[assignment]
        max_length=100, help_text="what the key is for, such as laptop"
    )


class NamedKey(serializers.Serializer):
    id = serializers.UUIDField()
    prefix = fields.Text()
    label = fields.Text()  # type: ignore[assignment]
    created_at = fields.Instant()


class KeyCreatedAnswer(NamedKey):
    api_key = fields.Text(help_text="shown here only")


class ListedKey(NamedKey):
    created_by = fields.Text(help_text="register, user, device, migration or mcp-exchange")
    last_used_at = fields.Instant(allow_null=True)
    revoked_at = fields.Instant(allow_null=True, help_text="also for a key that was replaced")


class KeysAnswer(serializers.Serializer):
    keys = ListedKey(many=True)


class KeyRenamedAnswer(serializers.Serializer):
    id = serializers.UUIDField()
    label = fields.Text()  # type: ignore[assignment]


class KeyRevokedAnswer(serializers.Serializer):
    id = serializers.UUIDField()
    revoked_at = fields.Instant()


class DeviceCodeRequest(fields.Part):
    device_code = fields.Text(allow_blank=True, trim_whitespace=False, help_text="made up by the client, 6 to 128 long")


class DeviceCodeAnswer(serializers.Serializer):
    verification_url = fields.Text()
    expires_in = fields.Whole(help_text="seconds")


class DeviceEmailRequest(DeviceCodeRequest):
    email = EmailAddress()


class DeviceEmailAnswer(serializers.Serializer):
    status = serializers.ChoiceField(["email_sent"])


class DevicePollAnswer(serializers.Serializer):
    status = serializers.ChoiceField(["pending", "email_sent", "approved", "claimed", "expired"])
    email = fields.Text(required=False)
    api_key = fields.Text(required=False, help_text="with approved, once")
    session_token = fields.Text(required=False, help_text="opens a session, once")


class SessionRequest(fields.Part):
    token = fields.Text(help_text="the session_token of a login")


class SessionAnswer(serializers.Serializer):
    session_token = fields.Text()
    email = fields.Text()


class EchoStoredAnswer(serializers.Serializer):
    stored = fields.Flag()


class EchoAnswer(serializers.Serializer):
    status = serializers.ChoiceField(["waiting", "delivered"])
    payload = serializers.JSONField(required=False, allow_null=True)
    headers = serializers.DictField(child=fields.Text(), required=False)
    received_at = fields.Instant(required=False)


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
    example = serializers.JSONField(allow_null=True)


class ErrorFacts(serializers.Serializer):
    code = fields.Text()
    message = fields.Text()
    status = fields.Whole()


class ErrorBody(ErrorFacts):
    where = fields.Text(allow_null=True, help_text="the place in the request, such as body.schedule.cron")
    expected = fields.Text()
    example = serializers.JSONField(allow_null=True, help_text="something that would work there")
    details = ErrorDetail(many=True, required=False)


class ErrorMirror(serializers.Serializer):
    error = ErrorFacts()


class ErrorAnswer(serializers.Serializer):
    """Every error looks like this; `detail.error` repeats `error` for older clients."""

    error = ErrorBody()
    detail = ErrorMirror()


class ProblemAnswer(serializers.Serializer):
    """The same as RFC 9457 has it, for who prefers application/problem+json."""

    type = fields.Text(help_text="a URL that explains this kind of error")
    title = fields.Text()
    status = fields.Whole()
    detail = fields.Text(help_text="what was wrong this time")
    instance = fields.Text(allow_null=True, help_text="the id of the request")
    code = fields.Text()
    where = fields.Text(allow_null=True)
    expected = fields.Text()
    example = serializers.JSONField(allow_null=True)
    details = ErrorDetail(many=True, required=False)


class ActorAnswer(serializers.Serializer):
    kind = serializers.ChoiceField(ActorKind.values)
    name = fields.Text(
        allow_null=True, help_text="a key's first characters, an e-mail address, or why the system acted"
    )
    address = fields.Text(allow_null=True, help_text="where the request came from; null without one")


class SubjectAnswer(serializers.Serializer):
    type = serializers.ChoiceField(SubjectType.values)
    id = fields.Text()
    name = fields.Text(allow_null=True, help_text="as it was called then")


class AuditEventAnswer(serializers.Serializer):
    id = fields.Text()
    at = fields.Instant()
    action = serializers.ChoiceField(AuditAction.values)
    actor = ActorAnswer()
    request_id = fields.Text(allow_null=True, help_text="the X-Request-Id of the call that made the change")
    subject = SubjectAnswer()
    before = fields.JsonObject(help_text="the changed fields only; secrets are masked")
    after = fields.JsonObject(help_text="the changed fields only; secrets are masked")


class AuditEventList(serializers.Serializer):
    audit_events = AuditEventAnswer(many=True)
    next_cursor = fields.Text(allow_null=True, help_text="the cursor of the page after this; null on the last one")
