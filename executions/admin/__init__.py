"""The admin pages of this app; importing them registers them."""

from executions.admin import alerts, executions

__all__ = ["alerts", "executions"]
