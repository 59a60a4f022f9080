"""How figures of the overview are written."""

from django import template

from executions.overview import COUNT_MAX, Spread

register = template.Library()


@register.filter
def spread(of: Spread) -> str:
    """`50 ms, 250 ms`; a dash where nothing was measured."""
    if of.p50_s is None or of.p95_s is None:
        return "–"
    return f"{_bound(of.p50_s, of.beyond_s)}, {_bound(of.p95_s, of.beyond_s)}"


def _bound(seconds: float, beyond_s: float) -> str:
    """The upper bound of a bucket."""
    text = f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:g} s"
    return f"over {text}" if seconds >= beyond_s else f"≤ {text}"


@register.filter
def bounded(count: int) -> str:
    return f"{count} or more" if count >= COUNT_MAX else str(count)
