"""What happened: executions and their steps, where they went, what people were told, and what is counted."""

from executions.models.notices import Alert, AlertType, Notification, NotificationKind, NotificationState, Severity
from executions.models.receivers import CuePace, Destination, Worker
from executions.models.records import CountedUntil, Horizon, HourFigures, Kept
from executions.models.runs import Attempt, DeadLetter, Execution, ExecutionQuerySet, Step

__all__ = [
    "Alert",
    "AlertType",
    "Attempt",
    "CountedUntil",
    "CuePace",
    "DeadLetter",
    "Destination",
    "Execution",
    "ExecutionQuerySet",
    "Horizon",
    "HourFigures",
    "Kept",
    "Notification",
    "NotificationKind",
    "NotificationState",
    "Severity",
    "Step",
    "Worker",
]
