"""Paging by position: each row once, in both directions, whatever appears meanwhile."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cueapi.keyset import Sheet, Unreadable, sheet
from cueapi.models import Account, ApiKey
from tests.support import make

pytestmark = [pytest.mark.django_db, pytest.mark.database]

NOON = datetime(2031, 5, 4, 12, tzinfo=UTC)


def add(account: object, second: int, label: str) -> None:
    ApiKey.objects.create(account=account, hash=label, label=label, created_at=NOON + timedelta(seconds=second))


def look(position: str = "", size: int = 3) -> Sheet:
    return sheet(ApiKey.objects.all(), by="created_at", position=position, size=size)


def labels(found: Sheet) -> list[str]:
    return [row.label for row in found.rows]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seconds=st.lists(st.integers(0, 4), max_size=12), size=st.integers(1, 5))
def test_older_pages_have_every_row_once_and_newer_pages_lead_back(db: None, seconds: list[int], size: int) -> None:
    ApiKey.objects.all().delete()
    account = make.account()
    ApiKey.objects.all().delete()
    for number, second in enumerate(seconds):
        add(account, second, f"key {number}")
    expected = list(ApiKey.objects.order_by("-created_at", "-pk").values_list("label", flat=True))
    pages = [look(size=size)]
    while pages[-1].older:
        pages.append(look(pages[-1].older, size))
    assert [label for page in pages for label in labels(page)] == expected
    back = [pages[-1]]
    while back[-1].newer:
        back.append(look(back[-1].newer, size))
    assert [label for page in reversed(back) for label in labels(page)] == expected
    make_room = account.delete()
    assert make_room


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kept=st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=14),
    size=st.integers(1, 4),
    reach=st.integers(1, 5),
)
def test_a_search_that_looks_so_far_at_a_time_finds_every_row_once_in_both_directions(
    db: None, kept: list[tuple[int, bool]], size: int, reach: int
) -> None:
    Account.objects.all().delete()
    account = make.account()
    ApiKey.objects.all().delete()
    for number, (second, is_wanted) in enumerate(kept):
        add(account, second, f"{'wanted' if is_wanted else 'other'} {number}")
    wanted = ApiKey.objects.filter(label__startswith="wanted")

    def searched(position: str = "") -> Sheet:
        return sheet(wanted, by="created_at", position=position, size=size, within=ApiKey.objects.all(), reach=reach)

    expected = list(wanted.order_by("-created_at", "-pk").values_list("label", flat=True))
    pages = [searched()]
    while pages[-1].older:
        pages.append(searched(pages[-1].older))
    assert [label for page in pages for label in labels(page)] == expected
    back = [next((page for page in reversed(pages) if page.rows), pages[0])]
    while back[-1].newer:
        back.append(searched(back[-1].newer))
    assert [label for page in reversed(back) for label in labels(page)] == expected


def test_a_row_that_appears_meanwhile_moves_no_other(db: None) -> None:
    account = make.account()
    ApiKey.objects.all().delete()
    for number in range(6):
        add(account, number, f"key {number}")
    first = look()
    add(account, 9, "newest")
    assert labels(first) == ["key 5", "key 4", "key 3"]
    second = look(first.older or "")
    assert labels(second) == ["key 2", "key 1", "key 0"]
    assert labels(look(second.newer or "")) == ["key 5", "key 4", "key 3"]
    assert (first.newer, second.older) == (None, None)


@pytest.mark.parametrize(
    "position", ["x", "older.", "older.1.", "older.x.y", "older.1.nonsense", "newer.9" + "9" * 30 + ".a"]
)
def test_what_is_no_position_is_refused(db: None, position: str) -> None:
    with pytest.raises(Unreadable):
        look(position)
