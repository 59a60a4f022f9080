"""`manage.py article`: make what the article's printed commands name, so that they work unchanged."""

from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from cueapi import accounts, clock, ids, keys
from cueapi.conf import conf
from cueapi.models import Account, ApiKey
from cues import lifecycle as cue_lifecycle
from cues.models import Cue, ScheduleType
from executions import birth, lifecycle
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
        hash=keys.hash_key(KEY),
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
    execution = birth.new(_cue_of(account, now=now), now, Trigger.MANUAL_FIRE, {}, now=now)
    execution.pk = execution_id
    lifecycle.born([execution], reason="made for the article")
    lifecycle.move(execution, Status.SUCCESS, reason="delivered, one may assume", now=now, delivered_at=now)
    return execution


def _cue_of(account: Account, *, now: datetime) -> Cue:
    """A finished one-shot, which takes no place among the account's cues."""
    found: Cue | None = Cue.objects.filter(account=account, name="article").first()
    if found is not None:
        return found
    cue: Cue = Cue.objects.create(
        account=account,
        name="article",
        schedule_type=ScheduleType.ONCE,
        is_lenient=True,
        at=now,
        last_slot=now,
        callback_url="https://api.yourapp.com/webhooks/inquiry-processed",
        created_at=now,
        updated_at=now,
    )
    cue_lifecycle.finish_one_shot(cue.pk, slot=now, success=True, now=now)
    return cue
