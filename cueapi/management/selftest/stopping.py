"""Ctrl-C, SIGTERM and a closed terminal: they stop the test, but never the cleaning up after it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopping:
    """A context manager. A signal raises KeyboardInterrupt, once, in what is `armed`; elsewhere it waits for that."""

    def __init__(self) -> None:
        self._is_armed = False
        self._was_asked = False
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    @contextmanager
    def armed(self) -> Iterator[None]:
        if self._was_asked:
            raise KeyboardInterrupt
        self._is_armed = True
        try:
            yield
        finally:
            self._is_armed = False

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._was_asked = True
        if self._is_armed:
            self._is_armed = False
            raise KeyboardInterrupt
