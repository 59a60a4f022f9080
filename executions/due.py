"""What is due in a lane: read and locked, with all that one attempt of it needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from django.db.models import CharField, DateTimeField, QuerySet, UUIDField

from cueapi import accounts, clock, tracing
from cueapi.conf import conf
from cueapi.models import Account
from cueapi.prepared import Instances, Select, given
from cueapi.signing import Secrets
from cues.models import Transport
from executions import report_links
from executions.lanes import Lane
from executions.models import Execution
from executions.states import Status
from executions.transports.webhook import Delivery

COLUMNS = (
    "pk",
    "account_id",
    "status",
    "attempts",
    "cue_id",
    "scheduled_for",
    "payload",
    "cue__name",
    "cue__callback_url",
    "cue__callback_method",
    "cue__callback_headers",
    "cue__delivery_timeout_s",
    "cue__is_lenient",
    "cue__rate_per_minute",
    "traceparent",
)


@dataclass(frozen=True)
class Due:
    """An execution that is due, and what its cue says of deliveries."""

    pk: UUID
    account_id: UUID
    status: Status
    attempts: int
    cue_id: str
    scheduled_for: datetime
    payload: dict[str, Any]
    cue_name: str
    url: str
    method: str
    headers: dict[str, str]
    own_time_limit_s: float | None
    is_lenient: bool
    rate_per_minute: int | None  # the cue's own
    traceparent: str | None

    @property
    def time_limit_s(self) -> float:
        """From connect to last byte."""
        return self.own_time_limit_s or conf().webhook_timeout_seconds

    def delivery(self, secrets: Secrets, *, attempt: int, now: datetime) -> Delivery:
        """What this attempt sends, as the cue and the account are now."""
        links = report_links.links_of(self.pk, now=now)
        return Delivery(
            execution_id=self.pk,
            cue_id=self.cue_id,
            cue_name=self.cue_name,
            attempt=attempt,
            scheduled_for=self.scheduled_for,
            payload=self.payload,
            url=self.url,
            method=self.method,
            headers=self.headers,
            secrets=secrets,
            outcome_url=links.outcome_url,
            heartbeat_url=links.heartbeat_url,
            timeout_s=self.time_limit_s,
            flatten=conf().webhook_flatten_payload,
            payload_names_execution=self.is_lenient,
            heeds_no_retry=conf().receiver_may_end_retries,
            traceparent=tracing.of_attempt(self.pk, attempt, self.traceparent),
        )


def lock(lane: Lane, statuses: tuple[Status, ...], at_most: int, *, now: datetime) -> Sequence[Due]:
    """The first of the lane's executions in these states that are due and that nobody else holds."""
    latest = now + clock.SKEW
    rows = first(statuses, at_most, COLUMNS).rows(account=lane.account_id, lane=lane.origin, latest=latest)
    return [Due(*row) for row in rows]


@cache
def first(statuses: tuple[Status, ...], at_most: int, columns: tuple[str, ...]) -> Select:
    """These columns of the first that are due in a lane, given `account`, `lane` and `latest`: locked."""

    def query() -> "QuerySet[Any]":
        rows = Execution.objects.filter(
            account=given("account", UUIDField()),
            lane=given("lane", CharField()),
            transport=Transport.WEBHOOK,
            status__in=statuses,
            due_at__lte=given("latest", DateTimeField()),
        )
        return rows.order_by("due_at").select_for_update(skip_locked=True, of=("self",)).values_list(*columns)[:at_most]

    return Select(query)


def under_way(execution: Execution, *, now: datetime) -> Delivery:
    """The attempt that an execution is in, as its cue and account are now."""
    row = Execution.objects.filter(pk=execution.pk).values_list(*COLUMNS).get()
    secrets = accounts.signing_secrets(execution.account, now=now)
    return Due(*row).delivery(secrets, attempt=execution.attempts, now=now)


def account_of(account_id: UUID) -> Account:
    """As much of the account as deliveries ask for."""
    (account,) = _account.all(pk=account_id)
    return account


_account = Instances(
    Account,
    lambda: Account.objects.filter(pk=given("pk", UUIDField())),
    "id",
    "monthly_execution_limit",
    *accounts.SECRET_COLUMNS,
)
