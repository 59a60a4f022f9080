"""What templates of every app say alike: instants, and statuses as coloured tags."""

from datetime import UTC, datetime

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from cueapi.clock import rfc3339

register = template.Library()

# By status of executions and cues, state of breakers and alerts' severity. What is not here is idle.
TONES = {
    "good": {"success", "active", "closed", "reported_success", "verified_success", "live", "ok", "sent"},
    "warn": {"retrying", "retry_ready", "half_open", "verification_pending", "warning", "replaced", "waiting"},
    "bad": {
        *("failed", "missed", "outcome_timeout", "open", "reported_failure", "verification_failed"),
        *("critical", "revoked", "silent"),
    },
    "info": {"pending", "delivering", "pending_outcome", "info", "running", "sending"},
}
_TONE_OF = {name: tone for tone, names in TONES.items() for name in names}


@register.filter
def tag(status: str | None) -> SafeString:
    """A status in words and in its colour; nothing for none."""
    if not status:
        return SafeString("")
    return format_html('<span class="tag tag-{}">{}</span>', tone(status), str(status).replace("_", " "))


@register.filter
def tone(status: str | None) -> str:
    """`good`, `warn`, `bad`, `info` or `idle`: the name of a status's colour."""
    return _TONE_OF.get(str(status), "idle")


@register.filter
def time(instant: datetime | None) -> SafeString:
    """An instant in UTC; pages.js adds the reader's own zone. A dash for none."""
    if instant is None:
        return SafeString("–")
    return _time(instant, f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC")


@register.filter
def precise_time(instant: datetime) -> SafeString:
    """The same with milliseconds."""
    at = instant.astimezone(UTC)
    return _time(instant, f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03} UTC")


def _time(instant: datetime, text: str) -> SafeString:
    return format_html('<time datetime="{}">{}</time>', rfc3339(instant), text)
