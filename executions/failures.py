"""Why an execution ended badly, in one word that can be counted and filtered by. Pure: facts in, a class out.

`closing` writes it in the UPDATE that ends the execution; an execution that has one is a dead letter.
"""

from dataclasses import dataclass
from typing import Final

from django.db.models import TextChoices

from executions.states import FAILURE, Status

QUOTA: Final = "quota"
INTERRUPTED: Final = "interrupted"


class ErrorClass(TextChoices):
    DNS = "dns"  # the name had no address
    CONNECT = "connect"  # nobody accepted the connection
    TLS = "tls"
    TIMEOUT = "timeout"  # the time limit of the attempt ran out
    REFUSED = "refused"  # our own rules forbid the address; nothing was sent
    PROTOCOL = "protocol"  # what came back is not a complete HTTP reply, or no final one
    HTTP_3XX = "http_3xx"
    HTTP_4XX = "http_4xx"
    HTTP_5XX = "http_5xx"
    INTERRUPTED = "interrupted"  # its sender died, or its worker fell silent, at the last attempt
    QUOTA = "quota"  # refused at the account's monthly limit
    OUTCOME_FAILED = "outcome_failed"  # the work itself was reported as failed
    OUTCOME_TIMEOUT = "outcome_timeout"  # acknowledged, and no outcome in time
    MISSED = "missed"  # no worker came for it
    INTERNAL = "internal"  # a bug of ours, or nobody knows


BY_STATUS = {Status.MISSED: ErrorClass.MISSED, Status.OUTCOME_TIMEOUT: ErrorClass.OUTCOME_TIMEOUT}
BY_STAGE = {
    "resolve": ErrorClass.DNS,
    "connect": ErrorClass.CONNECT,
    "tls": ErrorClass.TLS,
    "timeout": ErrorClass.TIMEOUT,
    "refused": ErrorClass.REFUSED,
    "reply": ErrorClass.PROTOCOL,
    "internal": ErrorClass.INTERNAL,
    INTERRUPTED: ErrorClass.INTERRUPTED,
}
BY_HUNDREDS = {3: ErrorClass.HTTP_3XX, 4: ErrorClass.HTTP_4XX, 5: ErrorClass.HTTP_5XX}


@dataclass(frozen=True)
class Facts:
    """What is known when an execution ends. `stage` is that of its last attempt, or QUOTA or INTERRUPTED."""

    status: Status
    stage: str = ""
    http_status: int | None = None
    outcome_success: bool | None = None


def classify(facts: Facts) -> ErrorClass | None:
    """The class of the failure; None when it is none.

    A reported failure comes before what became of the last attempt: it is what ended the execution.
    """
    if facts.status not in FAILURE:
        return None
    if facts.status in BY_STATUS:
        return BY_STATUS[facts.status]
    if facts.stage == QUOTA:
        return ErrorClass.QUOTA
    if facts.outcome_success is False:
        return ErrorClass.OUTCOME_FAILED
    if facts.stage == "status":
        return BY_HUNDREDS.get((facts.http_status or 0) // 100, ErrorClass.PROTOCOL)
    return BY_STAGE.get(facts.stage, ErrorClass.INTERNAL)
