"""How long from `POST /v1/cues` to the webhook, on an idle installation, and is it signed over its exact bytes?

`python -m tests.proofs.first_webhook [--cues 20] [--database postgres]`
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cueapi.signing import signature
from tests.proofs.client import Client, arguments, machine, percentile, running, say, verdict
from tests.support.receiver import Received, Receiver

LIMIT_S = 2.0
WITHIN_S = 30.0

RUN_NOW = {"type": "one-time", "at": None}


@dataclass(frozen=True)
class First:
    """One cue's webhook: `latency_s` is from just before the call to the arrival of the last byte."""

    latency_s: float
    is_signed: bool


def measure(client: Client, receiver: Receiver, *, cues: int) -> list[First]:
    """Make one run-now cue after another, each when the webhook of the one before has come."""
    secret = client.webhook_secret()
    firsts = []
    for number in range(1, cues + 1):
        posted_at = datetime.now(UTC)
        client.create_cue(f"first-{number}", RUN_NOW, receiver.url, payload={"text": "Grüße “to” you", "n": number})
        webhook = receiver.wait_for(number, WITHIN_S)[-1]
        firsts.append(First((webhook.at - posted_at).total_seconds(), is_signed(webhook, secret)))
    return firsts


def is_signed(webhook: Received, secret: str) -> bool:
    """Whether the signature fits the bytes that arrived."""
    expected = signature(secret, webhook.headers["X-CueAPI-Timestamp"], webhook.body)
    return webhook.headers["X-CueAPI-Signature"] == expected


def faults(firsts: Sequence[First]) -> list[str]:
    late = sum(first.latency_s > LIMIT_S for first in firsts)
    unsigned = sum(not first.is_signed for first in firsts)
    told = [f"{late} came later than {LIMIT_S:g} s"] if late else []
    return [*told, f"{unsigned} had a signature that does not fit"] if unsigned else told


def main(words: Sequence[str]) -> int:
    parser = arguments(__doc__)
    parser.add_argument("--cues", type=int, default=20)
    options = parser.parse_args(words)
    say(f"{options.cues} run-now cues, one after another, on {options.database} ({machine()})")
    with (
        running({}, postgres=options.database == "postgres") as it,
        Client(it) as client,
        Receiver() as receiver,
    ):
        firsts = measure(client, receiver, cues=options.cues)
    ordered = sorted(first.latency_s * 1000 for first in firsts)
    p50, worst = percentile(ordered, 0.5), ordered[-1]
    say(f"POST to webhook: min {ordered[0]:.0f} ms, p50 {p50:.0f} ms, max {worst:.0f} ms")
    return verdict(faults(firsts), f"all {len(firsts)} webhooks came within {LIMIT_S:g} s, each signature valid")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
