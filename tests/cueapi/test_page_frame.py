"""What the frame of our own pages answers where no page does."""

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db

BROWSER = "text/html,application/xhtml+xml,*/*;q=0.8"


def test_who_reads_pages_is_told_on_a_page_that_there_is_none() -> None:
    answer = Client().get("/nothing-here", headers={"Accept": BROWSER})

    assert (answer.status_code, answer["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert "There is no page at this address" in answer.content.decode()
    assert "unsafe" not in answer["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/nothing-here", {}),
        ("/nothing-here", {"Accept": "application/json"}),
        ("/nothing-here", {"Accept": BROWSER, "Authorization": "Bearer cue_sk_x"}),
        ("/v1/nothing-here", {"Accept": BROWSER}),
    ],
)
def test_who_calls_the_api_gets_its_error(path: str, headers: dict[str, str]) -> None:
    answer = Client().get(path, headers=headers)

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_a_form_without_its_token_is_told_what_to_do() -> None:
    answer = Client(enforce_csrf_checks=True).post("/login", {"api_key": "cue_sk_x"})

    assert answer.status_code == 403
    assert "Go back, reload, and try again" in answer.content.decode()
