"""Does a minute cron fire at second 0, exactly once a minute, while cues are created once a second?

`python -m tests.proofs.minute [--minutes 10] [--cues 10] [--database postgres]`
A receiver notes when each webhook arrives; its lateness is that instant minus `X-CueAPI-Scheduled-For`.
"""

import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from tests.proofs.client import Client, arguments, machine, percentile, running, say, verdict
from tests.support.deadline import eventually
from tests.support.receiver import Received, Receiver

LIMIT_MS = 250
MINUTE = timedelta(minutes=1)
HEAD_START = timedelta(seconds=5)  # the first minute that counts begins at least this long after the start
ONCE_AHEAD = timedelta(seconds=3)
ONCE_WITHIN_S = 30.0
LAST_ONES = timedelta(seconds=10)  # how long after its minute the last webhook may come and still be told as late

EVERY_MINUTE = {"type": "recurring", "cron": "* * * * *"}
ONCE_A_YEAR = {"type": "recurring", "cron": "0 0 1 1 *"}

Slot = tuple[str, datetime]


@dataclass(frozen=True)
class Punctuality:
    """What arrived for the slots that count. `lateness_ms` is ordered."""

    lateness_ms: Sequence[float]
    duplicates: int
    missing: int
    stray: int  # webhooks for a slot that no cue has

    def __str__(self) -> str:
        counts = f"{self.duplicates} duplicates, {self.missing} missing, {self.stray} stray"
        if not self.lateness_ms:
            return f"nothing arrived; {counts}"
        p50, p99 = percentile(self.lateness_ms, 0.5), percentile(self.lateness_ms, 0.99)
        low, high = self.lateness_ms[0], self.lateness_ms[-1]
        return f"lateness min {low:.0f} ms, p50 {p50:.0f} ms, p99 {p99:.0f} ms, max {high:.0f} ms; {counts}"


def judge(received: Iterable[Received], expected: set[Slot]) -> Punctuality:
    """Hold what arrived against the slots that had to be served, each once."""
    arrived = list(received)
    times = Counter(map(slot_of, arrived))
    return Punctuality(
        lateness_ms=sorted(lateness_ms(webhook) for webhook in arrived if slot_of(webhook) in expected),
        duplicates=sum(count - 1 for count in times.values()),
        missing=len(expected - set(times)),
        stray=len(set(times) - expected),
    )


def slot_of(webhook: Received) -> Slot:
    """Whose due time this webhook serves."""
    return webhook.headers["X-CueAPI-Cue-Id"], datetime.fromisoformat(webhook.headers["X-CueAPI-Scheduled-For"])


def lateness_ms(webhook: Received) -> float:
    return (webhook.at - slot_of(webhook)[1]).total_seconds() * 1000


def faults(seen: Punctuality) -> list[str]:
    told = [
        (seen.missing, f"{seen.missing} slots had no webhook"),
        (seen.duplicates, f"{seen.duplicates} webhooks came twice"),
        (seen.stray, f"{seen.stray} webhooks were for no slot"),
        (any(ms < 0 for ms in seen.lateness_ms), "a webhook came before its time"),
        (any(ms >= LIMIT_MS for ms in seen.lateness_ms), f"a webhook was {LIMIT_MS} ms late or more"),
    ]
    return [fault for is_so, fault in told if is_so]


def prove(client: Client, receiver: Receiver, *, cues: int, minutes: int) -> Punctuality:
    """Run cues through that many minutes, making another cue each second, and judge what arrived."""
    wait_for_head_start()
    first = next_minute(datetime.now(UTC))
    ids = [client.create_cue(f"minute-{n}", EVERY_MINUTE, receiver.url)["id"] for n in range(cues)]
    slots = [first + number * MINUTE for number in range(minutes)]
    created = create_each_second(client, receiver, until=slots[-1] + LAST_ONES)
    say(f"{created} cues were created meanwhile, one a second")
    return judge(receiver.received, {(cue_id, slot) for cue_id in ids for slot in slots})


def prove_once(client: Client, receiver: Receiver, *, cues: int) -> Punctuality:
    """The small version: that many one-time cues, all due at one instant a few seconds ahead."""
    at = datetime.now(UTC) + ONCE_AHEAD
    once = {"type": "once", "at": at.isoformat()}
    ids = [client.create_cue(f"once-{n}", once, receiver.url)["id"] for n in range(cues)]
    receiver.wait_for(cues, ONCE_WITHIN_S)
    for cue_id in ids:
        eventually(partial(is_completed, client, cue_id), within_s=ONCE_WITHIN_S, what=f"{cue_id} being completed")
    return judge(receiver.received, {(cue_id, at) for cue_id in ids})


def is_completed(client: Client, cue_id: str) -> bool:
    return bool(client.get(f"/v1/cues/{cue_id}")["status"] == "completed")


def wait_for_head_start() -> None:
    """Begin early enough in a minute that the cues exist before the next."""
    left = next_minute(datetime.now(UTC)) - datetime.now(UTC)
    if left < HEAD_START:
        time.sleep((left + timedelta(seconds=1)).total_seconds())


def next_minute(now: datetime) -> datetime:
    return now.replace(second=0, microsecond=0) + MINUTE


def create_each_second(client: Client, receiver: Receiver, *, until: datetime) -> int:
    """Create a cue that is not due for long, once a second; how many. Tells of each minute."""
    created = 0
    due_at = datetime.now(UTC)
    while due_at < until:
        time.sleep(max(0.0, (due_at - datetime.now(UTC)).total_seconds()))
        client.create_cue(f"yearly-{created}", ONCE_A_YEAR, receiver.url)
        created += 1
        due_at += timedelta(seconds=1)
        if due_at.second == 5:
            tell_minute(due_at.replace(second=0, microsecond=0), receiver)
    return created


def tell_minute(minute: datetime, receiver: Receiver) -> None:
    late = [lateness_ms(webhook) for webhook in receiver.received if slot_of(webhook)[1] == minute]
    say(f"{minute:%H:%M} UTC: {len(late)} webhooks, the last {max(late, default=0):.0f} ms late ({machine()})")


def main(words: Sequence[str]) -> int:
    parser = arguments(__doc__)
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--cues", type=int, default=10)
    options = parser.parse_args(words)
    say(f"{options.cues} cues with * * * * * for {options.minutes} minutes on {options.database} ({machine()})")
    with (
        running({}, postgres=options.database == "postgres") as it,
        Client(it) as client,
        Receiver() as receiver,
    ):
        seen = prove(client, receiver, cues=options.cues, minutes=options.minutes)
    say(str(seen))
    return verdict(
        faults(seen),
        f"{options.cues} cues fired once in each of {options.minutes} minutes, always under {LIMIT_MS} ms late",
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
