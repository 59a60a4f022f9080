"""Lanes: an account's webhooks to one destination go out together, and a slow or dead one costs only its own lane.

A message names a lane and nothing else: that there may be work. What is to be done, the rows say.
"""

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from math import ceil
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.signals import post_save

from cueapi import clock
from cueapi.queue import publish
from cueapi.volatile import Unavailable, store
from cues.models import Cue, Transport
from executions.models import Execution
from executions.states import WAITING, Status

log = logging.getLogger(__name__)

DRAIN_TASK = "executions.drain"
READY = "deliver"  # the queue of lanes with work that is due
LATER = "retries"  # countdowns wait here
COUNTDOWN_MAX_S = 120
"""Longer waits are left to the sweep: a countdown message costs a worker memory for as long as it waits."""
GRAIN_S = 0.1  # of times; rounded up, so that a nudge from now on is never one that has come already
NUDGE_KEPT_S = 10  # a message that is not taken up for so long may be lost, and no longer stands for the next


@dataclass(frozen=True, order=True)
class Lane:
    account_id: UUID
    origin: str  # scheme, host and port

    @classmethod
    def of(cls, execution: Execution) -> "Lane":
        return cls(execution.account_id, execution.lane)


# --- Saying that there is work ----------------------------------------------------------------------------------


def nudge(lanes: Iterable[Lane], *, at: datetime | None = None, now: datetime) -> None:
    """Say, once the transaction commits, that these lanes have work, now or at a time in the next minutes.

    What the broker does not take, and what is due later, a sweep finds.
    """
    at_s = ceil(at.timestamp() / GRAIN_S) * GRAIN_S if at and at > now else 0.0
    wait_s = max(0.0, at_s - now.timestamp())
    if wait_s > COUNTDOWN_MAX_S:
        return
    for lane in set(lanes):
        transaction.on_commit(partial(_announce, lane, wait_s, at_s))


def nudge_again(lane: Lane) -> None:
    """Say it whether or not it was said before: that message may be lost."""
    _forget(_key(lane))
    _announce(lane, 0.0, 0.0)


def _announce(lane: Lane, wait_s: float, at_s: float) -> None:
    key = _key(lane, at_s)
    if not _is_first(key, wait_s + NUDGE_KEPT_S):
        return
    sent = publish(
        DRAIN_TASK,
        queue=LATER if wait_s else READY,
        countdown_s=wait_s,
        kwargs={"account_id": str(lane.account_id), "origin": lane.origin},
    )
    if not sent:
        _forget(key)


def taken_up(lane: Lane) -> None:
    """The message is here: work that comes from now on needs another."""
    _forget(_key(lane))


def _key(lane: Lane, at_s: float = 0.0) -> str:
    """Of nudges for the same moment one is enough."""
    return f"nudged:{lane.account_id}:{lane.origin}:{at_s:.1f}"


def _is_first(key: str, kept_s: float) -> bool:
    try:
        return bool(store().set(key, 1, nx=True, px=round(kept_s * 1000)))
    except Unavailable:
        return True


def _forget(key: str) -> None:
    try:
        store().delete(key)
    except Unavailable:
        log.debug("lanes.store_unavailable")


# --- Where it goes ----------------------------------------------------------------------------------------------


def follow_cues() -> None:
    """Whenever a cue's URL changes, what waits for it moves to its new lane: the old one may be broken."""

    def saved(instance: Cue, created: bool, update_fields: Collection[str] | None, **kwargs: Any) -> None:
        if not created and (update_fields is None or "lane" in update_fields):
            transaction.on_commit(partial(_follow, instance.pk))

    post_save.connect(saved, sender=Cue, weak=False, dispatch_uid="executions.lanes.follow_cues")


def _follow(cue_id: str) -> None:
    """After the commit, since whoever records holds an execution before its cue. One in flight follows when it ends."""
    for cue in Cue.objects.filter(pk=cue_id).only("account_id", "lane"):
        waits = Execution.objects.filter(cue=cue, closed_at=None, transport=Transport.WEBHOOK, status__in=WAITING)
        if waits.exclude(lane=cue.lane).update(lane=cue.lane):
            nudge([Lane(cue.account_id, cue.lane)], now=clock.now())


# --- What waits -------------------------------------------------------------------------------------------------


def waiting(lane: Lane, *statuses: Status, now: datetime) -> QuerySet[Execution]:
    """The lane's executions in these states that are due, the longest due first."""
    rows: QuerySet[Execution] = Execution.objects.filter(
        account=lane.account_id,
        lane=lane.origin,
        transport=Transport.WEBHOOK,
        status__in=statuses,
        due_at__lte=now + clock.SKEW,
    ).order_by("due_at")
    return rows
