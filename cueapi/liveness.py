"""Signs of life: beat leaves one at each cycle, `/health` and `/status` read it."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import Error, connection

from cueapi.volatile import Unavailable, store

BEAT_KEY = "alive:beat"
BEAT_SILENT_S = 30


@dataclass(frozen=True)
class BeatCycle:
    """One look of the scheduler at what is due. `at` is Unix seconds."""

    at: float
    cues: int
    duration_ms: int

    @property
    def ran_at(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC)


def beat_lives(cycle: BeatCycle) -> None:
    """Leave the sign. A store that is down is no reason to stop scheduling."""
    try:
        store().set(BEAT_KEY, json.dumps(asdict(cycle)), ex=86_400)
    except Unavailable:
        return


@dataclass(frozen=True)
class Health:
    database: str  # ok, error
    volatile: str  # ok, error
    beat: str  # ok, stale, unknown
    cycle: BeatCycle | None

    @property
    def is_healthy(self) -> bool:
        return (self.database, self.volatile, self.beat) == ("ok", "ok", "ok")


def look(*, now: datetime) -> Health:
    """Ask the database and the store, each with one cheap question."""
    database = _database()
    try:
        text = store().get(BEAT_KEY)
    except Unavailable:
        return Health(database, "error", "unknown", None)
    cycle = _cycle(text)
    if cycle is None:
        return Health(database, "ok", "unknown", None)
    silent_s = now.timestamp() - cycle.at
    return Health(database, "ok", "ok" if silent_s <= BEAT_SILENT_S else "stale", cycle)


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
