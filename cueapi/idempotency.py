"""`Idempotency-Key`: a POST that is sent twice is carried out once, and both get the first answer, for a day.

The answer is stored in the transaction that does the work, so there is no moment at which the work is done and the
answer unknown. Of two equal calls at once the database lets one in; the other waits and reads its answer. A call that
fails stores nothing: it may be mended and sent again under the same key.
"""

import hashlib
import json
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import transaction
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from cueapi.errors import Conflict, ValidationFailed
from cueapi.models import Account, IdempotentCall
from cueapi.signing import canonical_json

HEADER = "Idempotency-Key"
KEY_MAX_CHARS = 255
KEPT_FOR = timedelta(hours=24)
FORGET_MAX = 1000


def key_of(request: Request) -> str | None:
    """The key that this call carries. Raises ValidationFailed when it cannot be one."""
    key = request.headers.get(HEADER)
    if key is None:
        return None
    if not key.strip() or len(key) > KEY_MAX_CHARS or not key.isprintable():
        raise ValidationFailed.of(
            f"header.{HEADER}", f"must be 1 to {KEY_MAX_CHARS} printable characters, such as a UUID of your own"
        )
    return key


def once(request: Request, account: Account, key: str, act: Callable[[], Response], *, now: datetime) -> Response:
    """What `act` answers, or what it answered the first time. Raises Conflict when the call was another."""
    call = IdempotentCall(account=account, key=key, request_hash=_hash(request), status=0, created_at=now)
    with transaction.atomic():
        mine = IdempotentCall.objects.filter(account=account, key=key)
        mine.filter(created_at__lte=now - KEPT_FOR).delete()
        IdempotentCall.objects.bulk_create([call], ignore_conflicts=True)
        first = mine.select_for_update().get()
        if first.status:
            return _again(first, call)
        response = act()
        if response.status_code >= 300:
            transaction.set_rollback(True)
            return response
        first.status, first.body = response.status_code, _as_text(response)
        first.save(update_fields=["status", "body"])
    return response


def forget(*, now: datetime) -> int:
    """Delete some of the answers that are older than a day; how many."""
    old = IdempotentCall.objects.filter(created_at__lte=now - KEPT_FOR).order_by("created_at")
    return IdempotentCall.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:FORGET_MAX])).delete()[0]


def _again(first: IdempotentCall, call: IdempotentCall) -> Response:
    if first.request_hash != call.request_hash:
        raise Conflict(
            f"This {HEADER} was used with another call or body. Use a new key for a new call.",
            code="idempotency_key_conflict",
        )
    body = json.loads(first.body) if first.body else None
    return Response(body, status=first.status, headers={"Idempotent-Replayed": "true"})


def _hash(request: Request) -> str:
    call = {"method": request.method, "path": request.get_full_path(), "body": dict(request.data)}
    return hashlib.sha256(canonical_json(call)).hexdigest()


def _as_text(response: Response) -> str:
    return JSONRenderer().render(response.data).decode() if response.data is not None else ""
