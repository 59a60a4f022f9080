"""Watching for what does not happen: a recurring cue with `alerts` that has had no success for too long.

`Cue.success_expected_by` says by when; every success puts it off, and so does the alert (contract 8.1).
"""

import logging
from datetime import datetime

from django.db import transaction

from cueapi.errors import InvalidSchedule, InvalidTimezone
from cues import lifecycle as cue_lifecycle
from cues.models import Cue, CueStatus
from executions import alerts

log = logging.getLogger(__name__)

ROWS_MAX = 500


def raise_overdue(*, now: datetime) -> int:
    """Raise an alert for each cue that should have succeeded by now; how many cues that were."""
    overdue = Cue.objects.filter(success_expected_by__lte=now).order_by("success_expected_by")
    cue_ids = list(overdue.values_list("pk", flat=True)[:ROWS_MAX])
    return sum(_look_at(cue_id, now=now) for cue_id in cue_ids)


def _look_at(cue_id: str, *, now: datetime) -> bool:
    """False when the cue succeeded, changed or was paused meanwhile, or another process has it."""
    with transaction.atomic():
        locked = Cue.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
        cue = locked.filter(pk=cue_id, success_expected_by__lte=now).select_related("account").first()
        if cue is None:
            return False
        if cue.status == CueStatus.ACTIVE:
            alerts.after_missed_window(cue, now=now)
        _put_off(cue, now=now)
    return True


def _put_off(cue: Cue, *, now: datetime) -> None:
    """Look at the locked cue again after as long once more; never, when it cannot be read or is not active."""
    try:
        cue_lifecycle.watch_from(cue, now=now)
    except (InvalidSchedule, InvalidTimezone):
        log.exception("cue.unreadable", extra={"cue": cue.pk})
        cue.success_expected_by = None
    cue.save(update_fields=["success_expected_by"])
