"""Where the parts of pages lead. Whoever shows a part, the admin or a user's page, says so; the part knows neither."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlencode
from uuid import UUID

from cueapi.clock import rfc3339


@dataclass(frozen=True)
class Form:
    """What a button posts, beside its CSRF token. `takes_payload`: also a payload that the reader may write."""

    url: str
    fields: Mapping[str, str] = field(default_factory=dict)
    takes_payload: bool = False


@dataclass(frozen=True)
class Links:
    """`act` makes the form of an action; None for one that this reader may not do.

    `runs` and `failures` are the lists of all that the cue ran, and of what of it failed; `changes` that of who
    changed the cue.
    """

    here: str
    runs: str
    failures: str
    changes: str
    execution: Callable[[UUID], str]
    cue: Callable[[str], str]
    act: Callable[[str], Form | None]

    def why(self, at: datetime) -> str:
        """The page of the cue, saying why it did or did not run at that time."""
        return f"{self.here}?{urlencode({'at': rfc3339(at)})}#why"
