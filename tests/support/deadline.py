"""Waiting for a condition instead of for a time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(condition: Callable[[], T], *, within_s: float = 10, what: str = "the condition") -> T:
    """The first true value of `condition`. Fails when there is none `within_s` seconds."""
    deadline_s = time.monotonic() + within_s
    while True:
        if value := condition():
            return value
        assert time.monotonic() < deadline_s, f"{what} did not come true within {within_s} s"
        time.sleep(0.02)
