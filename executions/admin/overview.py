"""The admin's first page: is everything well, for all accounts together."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.http import HttpRequest
from django.urls import reverse

from cueapi import clock, liveness
from cueapi.volatile import Unavailable
from executions import glance, health
from executions.admin.filters import ended_between
from executions.glance import Places
from executions.overview import Bar

Process = tuple[str, str, str]  # its name, its state, and when it was heard of
STORE = "The volatile store"
NEEDED = {
    "Beat": "No beat is at work, so nothing fires on time",
    "Worker": "No worker is at work, so nothing is sent",
}

admin.site.index_template = "executions/admin/index.html"


def facts(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Called by the theme for its first page; adds nothing for who may not see executions."""
    if not _may_see(request, "executions.execution"):
        return context
    now = clock.now()
    processes = _processes(now)
    also = list(_troubles(processes))
    seen = glance.take(None, _places(request, now), over=request.GET.get("range", ""), also=also, now=now)
    return {**context, "glance": seen, "processes": processes}


def _may_see(request: HttpRequest, model: str) -> bool:
    app, _, name = model.partition(".")
    return any(request.user.has_perm(f"{app}.{verb}_{name}") for verb in ("view", "change"))


def _troubles(processes: Sequence[Process]) -> Iterator[str]:
    """Of several beats or workers one is enough. Without the volatile store nobody knows of them."""
    failed = [name for name, state, _ in processes if state == "error"]
    yield from (f"{name} does not answer" for name in failed)
    if STORE in failed:
        return
    for kind, words in NEEDED.items():
        if not any(name.startswith(kind) and state == "ok" for name, state, _ in processes):
            yield words


def _processes(now: datetime) -> list[Process]:
    """What runs, its state in one word, and since when it is silent."""
    seen = liveness.look(now=now)
    rows = [("The database", seen.database, ""), (STORE, seen.volatile, ""), ("The broker", seen.broker, "")]
    rows += [(f"Beat {beat.name}", beat.state, f"{beat.silent_s:.0f} s ago") for beat in seen.beats]
    if not seen.beats:
        rows.append(("Beat", "silent", "none was heard of"))
    try:
        signs = liveness.workers_silent_s(now=now)
    except Unavailable:
        return rows
    for name, silent_s in signs.items():
        state = "ok" if silent_s <= liveness.WORKER_SILENT_S else "silent"
        rows.append((f"Worker {name}", state, f"{silent_s:.0f} s ago"))
    if not signs:
        rows.append(("Worker", "silent", "none was heard of"))
    alive, word = health.workers(now=now)
    return [*rows, ("Pulling workers", word, f"{alive} alive")]


def _list(name: str, **filters: str) -> str:
    url = reverse(f"admin:{name}_changelist")
    return f"{url}?{urlencode(filters)}" if filters else url


def _ended(bar: Bar) -> str:
    return _list("executions_execution", ended=ended_between(bar.start, bar.end))


def _places(request: HttpRequest, now: datetime) -> Places:
    """The lists that this user may see."""

    def lists(since: datetime) -> Mapping[str, str]:
        executions, ended = "executions_execution", ended_between(since, now)
        found = {
            "executions": _list(executions, ended=ended),
            "dead": _list("executions_deadletter", state="all", ended=ended),
            "waiting": _list(executions, late="yes"),
            "retrying": _list(executions, status__exact="retrying"),
            "awaited": _list(executions, status__exact="pending_outcome"),
        }
        if _may_see(request, "executions.alert"):
            found["alerts"] = _list("executions_alert", acknowledged_at__isempty="1")
        if _may_see(request, "executions.destination"):
            found["destinations"] = _list("executions_destination", state__in="open,half_open")
        if _may_see(request, "cues.cue"):
            found["cues"] = _list("cues_cue")
        return found

    return Places(lists, _ended, cue=lambda cue_id: reverse("admin:cues_cue_change", args=[quote(cue_id)]))
