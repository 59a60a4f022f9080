"""The admin pages of this app; importing them registers them."""

from executions.admin import alerts, cues, destinations, executions, overview

__all__ = ["alerts", "cues", "destinations", "executions", "overview"]
