"""Lanes: work is handed out per destination, so that a slow or dead one costs only its own lane.

A message names up to BATCH executions of one lane. It is a nudge: the rows say what is really to do.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import partial
from uuid import UUID

from django.db import transaction

from cueapi.conf import conf
from cueapi.queue import publish
from executions import lifecycle
from executions.models import Execution
from executions.states import Status

DELIVER_TASK = "executions.deliver"
BATCH = 50

FIRST_TRIES = "deliver"
SLOW = "slow"  # what a lane could not finish in its time
RETRIES = "retries"  # countdowns wait here, out of the way of first tries


def hand_out(
    work: Iterable[tuple[str, UUID]], *, queue: str = FIRST_TRIES, countdown_s: float = 0, now: datetime
) -> None:
    """Queue (lane, execution) pairs once the transaction commits; what the broker does not take, a sweep will."""
    by_lane: dict[str, list[UUID]] = defaultdict(list)
    for lane, execution_id in work:
        by_lane[lane].append(execution_id)
    for lane, ids in by_lane.items():
        for batch in _batches(ids):
            transaction.on_commit(partial(_nudge, lane, batch, queue, countdown_s))


def _nudge(lane: str, ids: list[UUID], queue: str, countdown_s: float) -> None:
    texts = [str(execution_id) for execution_id in ids]
    sent = publish(
        DELIVER_TASK,
        queue=queue,
        countdown_s=countdown_s,
        kwargs={"lane": lane, "execution_ids": texts},
    )
    if not sent:
        lifecycle.mark_queued(ids, None)


def _batches(ids: list[UUID]) -> Iterator[list[UUID]]:
    for start in range(0, len(ids), BATCH):
        yield ids[start : start + BATCH]


def within_account_cap(executions: list[Execution]) -> list[Execution]:
    """Those that fit under each account's cap of deliveries in flight.

    Two workers that ask at the same moment may pass the cap by a handful: it is there for fairness.
    """
    taken: list[Execution] = []
    room: dict[UUID, int] = {}
    for execution in executions:
        account_id = execution.account_id
        if account_id not in room:
            in_flight = Execution.objects.filter(account=account_id, status=Status.DELIVERING).count()
            room[account_id] = conf().max_concurrent_deliveries_per_user - in_flight
        if room[account_id] > 0:
            room[account_id] -= 1
            taken.append(execution)
    return taken
