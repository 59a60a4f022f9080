"""`manage.py article`: make what the article's printed commands name, so that they work unchanged."""

from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from cueapi import accounts, clock, ids
from cueapi.conf import conf
from cueapi.models import Account, ApiKey
from cues.models import Cue, ScheduleType, Transport
from executions.models import Execution
from executions.states import Status, Trigger

EMAIL = "article@localhost"
KEY = "cue_sk_your_key"
EXECUTION = "exec_123"


class Command(BaseCommand):
    help = f"For development: make the key {KEY} and the execution {EXECUTION} of the article's examples."

    def handle(self, *args: Any, **options: Any) -> None:
        if not conf().is_development:
            raise CommandError(f"{KEY} is a key that everybody knows: this works with ENV=development only.")
        load(now=clock.now())
        self.stdout.write(
            f"The article's commands work as printed against {conf().base_url}: the key {KEY} is good, and {EXECUTION} "
            "waits for its outcome. An outcome is written once; run this again for a fresh one."
        )


@transaction.atomic
def load(*, now: datetime) -> Execution:
    """The article's account with its key, and its execution as one that has not been reported."""
    account = Account.objects.filter(email=EMAIL).first() or accounts.register(EMAIL, now=now)[0]
    ApiKey.objects.update_or_create(
        hash=accounts.hash_key(KEY),
        defaults={"account": account, "replaced_at": None, "revoked_at": None},
        create_defaults={
            "account": account,
            "prefix": KEY[:12],
            "label": "article",
            "created_by": "user",
            "created_at": now,
        },
    )
    execution_id = ids.parse_execution_id(EXECUTION)
    Execution.objects.filter(pk__in=[execution_id]).delete()
    execution: Execution = Execution.objects.create(
        id=execution_id,
        account=account,
        cue=_cue_of(account, now=now),
        transport=Transport.WEBHOOK,
        triggered_by=Trigger.MANUAL_FIRE,
        scheduled_for=now,
        status=Status.SUCCESS,
        attempts=1,
        delivered_at=now,
        closed_at=now,
        created_at=now,
        updated_at=now,
    )
    return execution


def _cue_of(account: Account, *, now: datetime) -> Cue:
    """A finished one-shot, which takes no place among the account's cues."""
    found: Cue | None = Cue.objects.filter(account=account, name="article").first()
    return found or Cue.objects.create(
        account=account,
        name="article",
        status="completed",
        schedule_type=ScheduleType.ONCE,
        is_lenient=True,
        at=now,
        callback_url="https://api.yourapp.com/webhooks/inquiry-processed",
        created_at=now,
        updated_at=now,
    )
