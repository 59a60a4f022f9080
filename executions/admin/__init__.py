"""The admin pages of this app; importing them registers them."""

from executions.admin import alerts, cues, dead_letters, destinations, executions, overview, workers

__all__ = ["alerts", "cues", "dead_letters", "destinations", "executions", "overview", "workers"]
