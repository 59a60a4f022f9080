"""The one place that reads the clock. Everything below the doors takes `now` as an argument."""

from datetime import UTC, datetime, timedelta

SKEW = timedelta(seconds=0.5)
"""How far the clocks of two machines may differ: what a message calls due may be due here in a moment only."""


def now() -> datetime:
    """The present instant, aware, in UTC."""
    return datetime.now(UTC)


def rfc3339(instant: datetime | None) -> str | None:
    """`2031-05-04T09:00:00Z`, with microseconds only where there are any; None stays None."""
    if instant is None:
        return None
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def utc_text(instant: datetime | None) -> str | None:
    """`2031-05-04 09:00:00 UTC`, for people; None stays None."""
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if instant else None
