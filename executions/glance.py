"""The overview as a page shows it: each figure with the list behind it. Whoever shows it says where the lists are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from cueapi.models import Account
from cues.models import Cue
from executions import chart, overview
from executions.chart import Chart
from executions.models import Alert
from executions.overview import RANGES, Bar, Overview


@dataclass(frozen=True)
class Places:
    """Where the lists are: `lists` by figure, from the start of the range on; what ended within a bar; a cue's page.

    Whose list is left out, the reader may not see: neither its figure nor the names in it are told.
    """

    lists: Callable[[datetime], Mapping[str, str]]
    ended: Callable[[Bar], str]
    cue: Callable[[str], str]


@dataclass(frozen=True)
class Glance:
    overview: Overview
    troubles: Sequence[str]  # what is not well, the worst first
    chart: Chart
    lists: Mapping[str, str]
    failing: Sequence[tuple[Alert, str]]  # with the page of its cue
    next_due: Sequence[tuple[Cue, str]]


def take(account: Account | None, places: Places, *, over: str, also: Sequence[str] = (), now: datetime) -> Glance:
    """`over` names one of RANGES; any other word is the first of them. `also` is what else is not well."""
    seen = overview.read(account, now=now, over=RANGES.get(over, RANGES["24h"]))
    lists = places.lists(seen.bars[0].start)
    failing = seen.failing[: overview.SHOWN] if {"alerts", "cues"} <= lists.keys() else ()
    next_due = seen.next_due if "cues" in lists else ()
    return Glance(
        overview=seen,
        troubles=[*also, *seen.troubles],
        chart=chart.draw(seen.bars, places.ended),
        lists=lists,
        failing=[(alert, places.cue(str(alert.cue_id))) for alert in failing],
        next_due=[(cue, places.cue(cue.pk)) for cue in next_due],
    )
