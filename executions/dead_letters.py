"""Dead letters: executions that ended badly, which of them were replayed, and replaying many with one call.

A bulk replay takes each dead letter once, however many callers there are: a batch holds its cues, in the order in which
everybody takes them, and only then looks which of its dead letters are without a replay.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Window
from django.db.models.functions import RowNumber

from cueapi import usage
from cueapi.errors import BadRequest, Forbidden
from cueapi.models import Account
from cueapi.turns import taking_turns
from cues.models import Cue
from cues.services import CueNotFound
from executions import firing
from executions.firing import ReplayOf
from executions.models import Execution

log = logging.getLogger(__name__)

REPLAYS_SHOWN = 10
LIMIT_DEFAULT = 100
LIMIT_MAX = 1000
BATCH = 100  # replays in one transaction

Chosen = tuple[str, UUID]  # the cue of a dead letter, and its own id


@dataclass(frozen=True)
class Filters:
    """Which dead letters; None leaves a filter out. `since` and `until` bound the end: from, and before."""

    cue_id: str | None = None
    error_class: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    replayed: bool | None = None
    handled: bool | None = None
    ids: Sequence[UUID] | None = None

    @property
    def as_query(self) -> Q:
        columns = {
            "cue": self.cue_id,
            "error_class": self.error_class,
            "closed_at__gte": self.since,
            "closed_at__lt": self.until,
            "pk__in": self.ids,
        }
        query = Q(**{column: value for column, value in columns.items() if value is not None})
        if self.handled is not None:
            query &= Q(handled_at__isnull=not self.handled)
        if self.replayed is not None:
            query &= Q(has_replay()) if self.replayed else ~Q(has_replay())
        return query


def find(account: Account, filters: Filters) -> QuerySet[Execution]:
    """The account's dead letters that pass, the newest end first."""
    found: QuerySet[Execution] = Execution.objects.of(account).dead().filter(filters.as_query)
    return found.order_by("-closed_at", "-id")


def replays_of(ids: Iterable[UUID]) -> Mapping[UUID, Sequence[UUID]]:
    """By execution, the newest REPLAYS_SHOWN replays of it, newest first."""
    newest_first = Window(
        RowNumber(), partition_by=F("replayed_from"), order_by=[F("created_at").desc(), F("id").desc()]
    )
    rows: Any = Execution.objects.filter(replayed_from__in=list(ids)).annotate(place=newest_first)
    found: dict[UUID, list[UUID]] = defaultdict(list)
    shown = rows.filter(place__lte=REPLAYS_SHOWN).order_by("replayed_from", "place")
    for original, replay_id in shown.values_list("replayed_from", "pk"):
        found[original].append(replay_id)
    return found


def has_replay() -> Exists:
    """A condition on executions."""
    return Exists(Execution.objects.filter(replayed_from=OuterRef("pk")))


# --- Many at once -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Order:
    """The body of a bulk replay, checked. `named` is how many executions it names, None when it goes by filters."""

    filters: Filters = Filters()
    named: int | None = None
    definition: ReplayOf = ReplayOf.AS_SENT
    limit: int = LIMIT_DEFAULT
    include_replayed: bool = False
    dry_run: bool = False


@dataclass
class Report:
    """What came of it: `skipped` counts by reason, `made` are the new executions."""

    matched: int
    skipped: Counter[str]
    has_more: bool
    made: list[UUID] = field(default_factory=list)


def replay(account: Account, order: Order, *, now: datetime) -> Report:
    """Replay the oldest `limit` dead letters that match, in transactions of BATCH; what is done stays done.

    Raises Forbidden when replays would only fail, and CueNotFound.
    """
    _check(account, order, now=now)
    found, skipped = _matching(account, order)
    matched = found.count()
    if order.definition == ReplayOf.CURRENT:
        found = _without_unfit(found, account, skipped)
    chosen = list(found.order_by("closed_at", "id").values_list("cue_id", "pk")[: order.limit + 1])
    report = Report(matched, skipped, has_more=len(chosen) > order.limit)
    if not order.dry_run:
        _replay(sorted(chosen[: order.limit]), order, report, now=now)
    return report


def _check(account: Account, order: Order, *, now: datetime) -> None:
    if usage.is_refused(account, now=now):
        raise Forbidden(usage.REFUSAL, code="execution_limit_exceeded")
    cue_id = order.filters.cue_id
    if cue_id is not None and not Cue.objects.of(account).filter(pk=cue_id).exists():
        raise CueNotFound(where="body.cue_id")


def _matching(account: Account, order: Order) -> tuple[QuerySet[Execution], Counter[str]]:
    """What the order is about, and why of the executions that it names some are not."""
    matching = find(account, order.filters)
    wanted = matching if order.include_replayed else matching.exclude(has_replay())
    if order.named is None:
        return wanted, Counter()
    known = Execution.objects.of(account).filter(pk__in=order.filters.ids or ())
    left = [order.named, known.count(), known.dead().count(), matching.count(), wanted.count()]
    reasons = ("not_found", "not_failed", "filtered_out", "already_replayed")
    lost = (before - after for before, after in pairwise(left))
    return wanted, Counter(dict(zip(reasons, lost, strict=True)))


def _without_unfit(found: QuerySet[Execution], account: Account, skipped: Counter[str]) -> QuerySet[Execution]:
    """Without those whose cue would not fire with the payload it has now, so that they are in nobody's way."""
    asking = Cue.objects.of(account).filter(Q(require_payload_override=True) | Q(required_payload_keys__isnull=False))
    unfit: dict[str, list[str]] = defaultdict(list)
    for cue in asking.iterator():
        try:
            firing.check_own_payload(cue)
        except BadRequest as lacking:
            unfit[lacking.code].append(cue.pk)
    for reason, cue_ids in unfit.items():
        skipped[reason] += found.filter(cue__in=cue_ids).count()
        found = found.exclude(cue__in=cue_ids)
    return found


def _replay(chosen: Sequence[Chosen], order: Order, report: Report, *, now: datetime) -> None:
    for start in range(0, len(chosen), BATCH):
        _replay_batch(chosen[start : start + BATCH], order, report, now=now)
    log.info("dead_letters.replayed", extra={"matched": report.matched, "replayed": len(report.made)})


def _replay_batch(batch: Sequence[Chosen], order: Order, report: Report, *, now: datetime) -> None:
    with taking_turns(), transaction.atomic():
        cues = Cue.objects.select_for_update(no_key=True).filter(pk__in={cue_id for cue_id, _ in batch}).order_by("pk")
        held = set(cues.values_list("pk", flat=True))
        left = [pk for cue_id, pk in batch if cue_id in held]
        free = Execution.objects.filter(pk__in=left)
        if not order.include_replayed:
            free = free.exclude(has_replay())
        made = firing.replay_all(free, definition=order.definition, now=now)
    report.made += [made[pk] for pk in left if pk in made]
    report.skipped["cue_deleted"] += len(batch) - len(left)
    report.skipped["taken_meanwhile"] += len(left) - len(made)
