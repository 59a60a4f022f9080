"""Counters that many processes add to, for `/metrics`: summed in each, and sent to the volatile store every second.

Counting costs an addition in memory, and each process one call a second however much it does. What the store does not
take is lost: a figure is not worth a delivery.
"""

import atexit
import logging
import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cueapi.volatile import Unavailable, store

log = logging.getLogger(__name__)

KEY = "metrics:counts"
SEND_EVERY_S = 1.0
BEYOND = "+Inf"

_lock = threading.Lock()
_counts: Counter[str] = Counter()
_timer: threading.Timer | None = None


def count(name: str, counts: Mapping[str, int]) -> None:
    """Add to the counters of this name, by label."""
    _add({f"{name}|{label}": number for label, number in counts.items() if number})


def observe(name: str, values_s: Iterable[float], bounds_s: Sequence[float]) -> None:
    """Add these seconds to a histogram with these upper bounds."""
    added: Counter[str] = Counter()
    for value_s in values_s:
        place = bisect_left(bounds_s, value_s)
        added[f"{name}|{bounds_s[place] if place < len(bounds_s) else BEYOND}"] += 1
        added[f"{name}|sum_ms"] += max(0, round(value_s * 1000))
    _add(added)


def _add(counts: Mapping[str, int]) -> None:
    global _timer
    if not counts:
        return
    with _lock:
        _counts.update(counts)
        if _timer is None:
            _timer = threading.Timer(SEND_EVERY_S, send)
            _timer.daemon = True
            _timer.start()


@atexit.register
def send() -> None:
    """Send what was counted since the last time."""
    global _timer
    with _lock:
        sent, _timer = dict(_counts), None
        _counts.clear()
    if not sent:
        return
    try:
        with store().pipeline(transaction=False) as pipe:
            for field, number in sent.items():
                pipe.hincrby(KEY, field, number)
            pipe.execute()
    except Unavailable as error:
        log.debug("tally.lost", extra={"error": str(error)})


def read() -> Mapping[str, Mapping[str, int]]:
    """Every counter, by name and label. Raises Unavailable."""
    found: dict[str, dict[str, int]] = {}
    stored: dict[Any, Any] = store().hgetall(KEY)
    for field, number in stored.items():
        name, _, label = field.decode().partition("|")
        found.setdefault(name, {})[label] = int(number)
    return found
