"""The admin pages of this app; importing them registers them."""

from executions.admin import alerts, destinations, executions, overview

__all__ = ["alerts", "destinations", "executions", "overview"]
