"""Signs of life: each beat leaves one at each cycle; `/health`, `/status` and `/metrics` read them."""

import json
import os
import socket
import threading
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import Error, connection

from cueapi import queue
from cueapi.volatile import Unavailable, store

BEATS_KEY = "alive:beats"
WORKERS_KEY = "alive:workers"
BEAT_SILENT_S = 30
WORKER_SIGN_EVERY_S = 5.0
WORKER_SILENT_S = 20
BEAT_FORGOTTEN_S = 3600  # a beat that was killed is told as silent for this long


@dataclass(frozen=True)
class BeatCycle:
    """One look of the scheduler at what is due. `at` is Unix seconds."""

    at: float
    cues: int
    duration_ms: int

    @property
    def ran_at(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC)


def name_of_this_process() -> str:
    """Host and process id: enough to find the process."""
    return f"{socket.gethostname()}:{os.getpid()}"


def beat_lives(beat: str, cycle: BeatCycle) -> None:
    """Leave the sign of this beat. A store that is down is no reason to stop scheduling."""
    try:
        store().hset(BEATS_KEY, beat, json.dumps(asdict(cycle)))
    except Unavailable:
        return


def beat_ends(beat: str) -> None:
    """A beat that stops in good order takes its sign away."""
    try:
        store().hdel(BEATS_KEY, beat)
    except Unavailable:
        return


# --- Workers ----------------------------------------------------------------------------------------------------


def leave_signs_of_worker(stopped: threading.Event) -> None:
    """Leave a sign of this worker process every few seconds until it stops; then take it away."""
    worker = name_of_this_process()
    while True:
        _sign("hset", worker, str(round(time.time(), 3)))
        if stopped.wait(WORKER_SIGN_EVERY_S):
            break
    _sign("hdel", worker)


def _sign(command: str, *words: str) -> None:
    try:
        getattr(store(), command)(WORKERS_KEY, *words)
    except Unavailable:
        return


def workers_silent_s(*, now: datetime) -> dict[str, float]:
    """By worker process, the seconds since its last sign; long silent ones are forgotten. Raises Unavailable."""
    signs = {_text(name): now.timestamp() - float(at) for name, at in store().hgetall(WORKERS_KEY).items()}
    gone = [name for name, silent_s in signs.items() if silent_s > BEAT_FORGOTTEN_S]
    if gone:
        store().hdel(WORKERS_KEY, *gone)
    return {name: max(0.0, silent_s) for name, silent_s in signs.items() if name not in gone}


# --- All together -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Beat:
    """A beat process and its last cycle. `state` is ok or silent: it hangs, or it was killed."""

    name: str
    cycle: BeatCycle
    silent_s: float

    @property
    def state(self) -> str:
        return "ok" if self.silent_s <= BEAT_SILENT_S else "silent"


@dataclass(frozen=True)
class Health:
    database: str  # ok, error
    volatile: str  # ok, error
    broker: str  # ok, error
    beat: str  # ok, stale, unknown
    beats: tuple[Beat, ...]  # the one that was heard of last comes first

    @property
    def cycle(self) -> BeatCycle | None:
        """The last cycle of any beat."""
        return self.beats[0].cycle if self.beats else None

    @property
    def is_healthy(self) -> bool:
        return {self.database, self.volatile, self.broker, self.beat} == {"ok"}


def look(*, now: datetime) -> Health:
    """Ask the database, the store and the broker, each with one cheap question. One beat that cycles is enough."""
    database, broker = _database(), "ok" if queue.broker_answers() else "error"
    try:
        beats = _beats(now)
    except Unavailable:
        return Health(database, "error", broker, "unknown", ())
    if not beats:
        return Health(database, "ok", broker, "unknown", ())
    return Health(database, "ok", broker, "ok" if beats[0].state == "ok" else "stale", beats)


def _beats(now: datetime) -> tuple[Beat, ...]:
    """The beats that were heard of lately; the others are forgotten."""
    signs = {_text(name): _cycle(sign) for name, sign in store().hgetall(BEATS_KEY).items()}
    beats = [Beat(name, cycle, now.timestamp() - cycle.at) for name, cycle in signs.items() if cycle is not None]
    known = [beat for beat in beats if beat.silent_s <= BEAT_FORGOTTEN_S]
    forgotten = signs.keys() - {beat.name for beat in known}
    if known and forgotten:
        store().hdel(BEATS_KEY, *forgotten)
    return tuple(sorted(known or beats, key=lambda beat: beat.silent_s))


def _text(name: Any) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)


def _cycle(text: Any) -> BeatCycle | None:
    """The sign that beat left; one that cannot be read, as of another version of beat, is none."""
    try:
        return BeatCycle(**json.loads(text))
    except (ValueError, TypeError):
        return None


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        return "error"
    return "ok"
